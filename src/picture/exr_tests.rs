// SPDX-License-Identifier: GPL-3.0-or-later

use std::io::Cursor;

use ::exr::prelude::{
    AnyChannel, AnyChannels, Blocks, Encoding, FlatSamples, Image, ImageAttributes, IntegerBounds, Layer,
    LayerAttributes, Vec2, WritableImage, f16,
};
use image::RgbImage;

use crate::{Helpers, PictureError, shrink};

fn shrunk(bytes: &[u8]) -> Result<RgbImage, PictureError> {
    shrink(&mut Cursor::new(bytes), &Helpers::start(|| Ok(())).unwrap())
}

/// An OpenEXR of these channels, 40 x 30, with what `change` makes of it.
fn exr_with(
    list: Vec<(&str, FlatSamples)>,
    encoding: Encoding,
    change: impl FnOnce(&mut Image<Layer<AnyChannels<FlatSamples>>>),
) -> Vec<u8> {
    let list = list.into_iter().map(|(name, samples)| AnyChannel::new(name, samples));
    let layer = Layer::new(
        (40, 30),
        LayerAttributes::default(),
        encoding,
        AnyChannels::sort(list.collect()),
    );
    let mut image = Image::from_layer(layer);
    change(&mut image);
    let mut bytes = Cursor::new(Vec::new());
    image.write().non_parallel().to_buffered(&mut bytes).unwrap();
    bytes.into_inner()
}

fn halves(light: f32) -> FlatSamples {
    FlatSamples::F16(vec![f16::from_f32(light); 40 * 30])
}

#[test]
fn j24_what_is_no_light_is_black_or_white() {
    let floats = |odd: [f32; 4]| FlatSamples::F32((0..1200).map(|at| odd[at % 4]).collect());
    let bytes = exr_with(
        vec![
            ("R", floats([f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e38])),
            ("G", floats([-1.0, 1e-40, -0.0, 65_520.0])),
            ("B", FlatSamples::U32([0, 1, u32::MAX, 7].repeat(300))),
        ],
        Encoding::FAST_LOSSLESS,
        |_| (),
    );
    let image = shrunk(&bytes).unwrap();
    let row: Vec<_> = (0..4).map(|x| image.get_pixel(x, 3).0).collect();
    assert_eq!(row, [[0, 0, 0], [255, 0, 255], [0, 0, 255], [255, 255, 255]]);
}

#[test]
fn j24_of_many_layers_the_picture_is_shown() {
    let others = [
        "A.Depth.Z",
        "ViewLayer.AO.R",
        "ViewLayer.AO.G",
        "ViewLayer.AO.B",
        "Alpha",
    ];
    for layer in [
        "",
        "Composite.Combined.",
        "ViewLayer.Combined.left.",
        "ViewLayer.Combined.",
    ] {
        let names = ["R", "G", "B"].map(|letter| format!("{layer}{letter}"));
        let mut list: Vec<_> = others.iter().map(|name| (*name, halves(0.0))).collect();
        list.extend(names.iter().map(|name| (name.as_str(), halves(1.0))));
        let image = shrunk(&exr_with(list, Encoding::SMALL_LOSSLESS, |_| ())).unwrap();
        assert_eq!(image.get_pixel(20, 20).0, [255; 3], "{layer}");
    }
    // No colour at all.
    let grey = exr_with(
        vec![("Depth.V", halves(0.0)), ("Y", halves(1.0))],
        Encoding::UNCOMPRESSED,
        |_| (),
    );
    assert_eq!(shrunk(&grey).unwrap().get_pixel(1, 1).0, [0; 3], "the first");
    let depth = exr_with(vec![("Z", halves(0.5))], Encoding::UNCOMPRESSED, |_| ());
    assert_eq!(shrunk(&depth).unwrap().get_pixel(1, 1).0, [188; 3]);
}

#[test]
fn j24_data_windows_and_tiles_are_put_where_they_belong() {
    let white = || vec![("R", halves(1.0)), ("G", halves(1.0)), ("B", halves(1.0))];
    let tiles = Encoding {
        blocks: Blocks::Tiles(Vec2(16, 16)),
        ..Encoding::SMALL_LOSSLESS
    };
    for encoding in [Encoding::SMALL_LOSSLESS, tiles] {
        let window = |position: (i32, i32), size: (usize, usize)| IntegerBounds::new(position, size);
        let image = |display: IntegerBounds| {
            let bytes = exr_with(white(), encoding, |image| {
                image.attributes = ImageAttributes::new(display);
                image.layer_data.attributes.layer_position = Vec2(100, 50);
            });
            shrunk(&bytes).unwrap()
        };
        // A render of a border within a frame.
        let border = image(window((90, 40), (60, 60)));
        assert_eq!(border.dimensions(), (60, 60));
        let inside = |x: u32, y: u32| (10..50).contains(&x) && (10..40).contains(&y);
        for (x, y, pixel) in border.enumerate_pixels() {
            assert_eq!(pixel.0, [if inside(x, y) { 255 } else { 0 }; 3], "{x}, {y}");
        }
        // More than the frame, and nothing of it.
        assert_eq!(image(window((110, 60), (10, 10))).get_pixel(0, 0).0, [255; 3]);
        assert_eq!(image(window((0, 0), (10, 10))).dimensions(), (40, 30));
    }
}

/// An OpenEXR of two parts of black: the first is shown, and the second compressed, in two blocks.
fn two_parts() -> Vec<u8> {
    let part = |names: [&str; 3], encoding| {
        let list = names.map(|name| AnyChannel::new(name, halves(0.0))).into_iter();
        let attributes = LayerAttributes::named(names[0]);
        Layer::new((40, 30), attributes, encoding, AnyChannels::sort(list.collect()))
    };
    let parts = [
        part(["R", "G", "B"], Encoding::UNCOMPRESSED),
        part(["X", "Y", "Z"], Encoding::SMALL_LOSSLESS),
    ];
    let image = Image::from_layers(ImageAttributes::with_size((40, 30)), parts.to_vec());
    let mut bytes = Cursor::new(Vec::new());
    image.write().non_parallel().to_buffered(&mut bytes).unwrap();
    bytes.into_inner()
}

#[test]
fn j24_a_block_of_a_part_that_is_not_shown_is_not_decompressed() {
    let mut bytes = two_parts();
    // Both tables of offsets lie between the headers and the first block, whose offset is the first.
    let offset = |bytes: &[u8], at: usize| usize::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let table = (0..bytes.len() - 8)
        .find(|at| offset(&bytes, *at) == at + 32 * 8)
        .unwrap();
    let other = offset(&bytes, table + 30 * 8);
    assert_eq!(bytes[other], 1, "the number of the part");
    // Its content is nonsense, and a row of the part that is shown is said to be there.
    bytes[other + 12..].fill(0x5a);
    bytes.copy_within(table + 30 * 8..table + 31 * 8, table);
    assert_eq!(shrunk(&bytes).unwrap().dimensions(), (40, 30));
}

#[test]
fn j25_fifty_thousand_channels_are_no_trouble() {
    const NAMES: u32 = 50_000;
    let names = (0..NAMES).map(|number| format!("{number:05}.X"));
    let mut header = b"\x76\x2f\x31\x01\x02\0\0\0channels\0chlist\0".to_vec();
    // A name and its end, 16 bits, linear or not, and the sampling.
    header.extend((NAMES * 24 + 1).to_le_bytes());
    for name in names {
        header.extend(name.as_bytes());
        header.extend([0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
    }
    header.push(0);
    let mut attribute = |name: &str, kind: &str, value: &[u8]| {
        header.extend([name.as_bytes(), b"\0", kind.as_bytes(), b"\0"].concat());
        header.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
        header.extend(value);
    };
    attribute("compression", "compression", &[0]);
    attribute("dataWindow", "box2i", &[0; 16]);
    attribute("displayWindow", "box2i", &[0; 16]);
    attribute("lineOrder", "lineOrder", &[0]);
    attribute("pixelAspectRatio", "float", &1_f32.to_le_bytes());
    attribute("screenWindowCenter", "v2f", &[0; 8]);
    attribute("screenWindowWidth", "float", &1_f32.to_le_bytes());
    header.push(0);
    header.extend((header.len() as u64 + 8).to_le_bytes());
    header.extend([0; 4]);
    header.extend((NAMES * 2).to_le_bytes());
    header.extend([0; 2 * NAMES as usize]);
    assert_eq!(shrunk(&header).unwrap().dimensions(), (1, 1));
}
