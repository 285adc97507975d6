// SPDX-License-Identifier: GPL-3.0-or-later

use std::io::Cursor;

use super::*;
use ::exr::prelude::{
    AnyChannel, AnyChannels, Blocks, Encoding, FlatSamples, Image, ImageAttributes, IntegerBounds, Layer,
    LayerAttributes, Vec2, WritableImage, f16,
};
use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};

/// What Blender shows of the fixtures, as its PNG of the same picture has it: left a brown and a blue, top right a yellow
/// that is brighter than white.
const BLENDER: [(u32, u32, [u8; 3]); 3] = [(4, 12, [188, 90, 39]), (24, 24, [0, 137, 244]), (58, 6, [255, 255, 0])];

fn shrunk(bytes: &[u8]) -> Result<RgbImage, PictureError> {
    shrink(&mut Cursor::new(bytes))
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn differ(pixel: [u8; 3], wanted: [u8; 3]) -> u8 {
    pixel
        .into_iter()
        .zip(wanted)
        .map(|(one, other)| one.abs_diff(other))
        .max()
        .unwrap()
}

#[test]
fn j23_each_still_format_of_blender_has_the_colours_of_its_png() {
    macro_rules! fixtures {
        ($($name:literal),* $(,)?) => { [$(($name, &include_bytes!(concat!("fixtures/", $name))[..])),*] };
    }
    for (name, bytes) in fixtures![
        "film.cin",
        "float-dwab.exr",
        "float-zip.exr",
        "half-b44a.exr",
        "half-dwaa.exr",
        "half-piz.exr",
        "half-pxr24.exr",
        "half-rle.exr",
        "half-zip.exr",
        "layers-views.exr",
        "layers.exr",
        "light.hdr",
        "lossless.webp",
        "lossy.webp",
        "rgb.bmp",
        "rgb16.jp2",
        "rgb8.j2c",
        "rgb8.jp2",
        "rgba-rle.tga",
        "rgba.rgb",
        "rgba16-deflate.tif",
        "rgba8-lzw.tif",
        "rgba8-packbits.tif",
        "ten-log.dpx",
        "ten.dpx",
        "views.exr",
    ] {
        let image = shrunk(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (x, y, wanted) in BLENDER {
            let pixel = image.get_pixel(x * image.width() / 64, y * image.height() / 48).0;
            // What loses anything loses it here; three in a hundred is seen by nobody.
            assert!(
                differ(pixel, wanted) <= 8,
                "{name} at {x}, {y}: {pixel:?}, not {wanted:?}"
            );
        }
    }
    // Blender weighs colours by their luminance.
    let grey = shrunk(include_bytes!("fixtures/grey-deflate.tif")).unwrap();
    assert!(
        differ(grey.get_pixel(2, 6).0, [118; 3]) <= 2,
        "{:?}",
        grey.get_pixel(2, 6)
    );
}

#[test]
fn every_kind_of_png_and_jpeg_is_read_and_of_an_animation_the_first_picture() {
    let kinds: [(&str, &[u8]); 5] = [
        ("palette, interlaced", include_bytes!("fixtures/palette.png")),
        ("16 bit with alpha, interlaced", include_bytes!("fixtures/rgba16.png")),
        ("progressive", include_bytes!("fixtures/progressive.jpg")),
        ("CMYK", include_bytes!("fixtures/cmyk.jpg")),
        ("animated", include_bytes!("fixtures/animated.webp")),
    ];
    for (kind, bytes) in kinds {
        let image = shrunk(bytes).unwrap_or_else(|error| panic!("{kind}: {error}"));
        for (x, y) in [(0, 0), (2, 2), (5, 7)] {
            let pixel = image.get_pixel(x, y).0;
            assert!(differ(pixel, [255, 0, 0]) < 12, "{kind} at {x}, {y}: {pixel:?}");
        }
    }
    for image in [
        DynamicImage::new_luma8(9, 9),
        DynamicImage::new_luma16(9, 9),
        DynamicImage::new_luma_a8(9, 9),
    ] {
        assert_eq!(
            shrunk(&encoded(&image, ImageFormat::Png)).unwrap().get_pixel(4, 4).0,
            [0; 3]
        );
    }
}

#[test]
fn large_ones_are_made_to_fit_small_ones_stay_and_light_is_shared_out() {
    let sizes = [
        ((3840, 2160), (1920, 1080)),
        ((100, 2160), (50, 1080)),
        ((4000, 10), (1920, 5)),
        ((64, 48), (64, 48)),
        ((1921, 1080), (1920, 1079)),
        ((1, 3000), (1, 1080)),
    ];
    for (from, to) in sizes {
        let image = RgbImage::from_pixel(from.0, from.1, image::Rgb([10, 200, 255]));
        let small = shrunk(&encoded(&image.into(), ImageFormat::Png)).unwrap();
        assert_eq!(small.dimensions(), to);
        assert!(small.pixels().all(|pixel| pixel.0 == [10, 200, 255]), "{from:?}");
    }
    // Columns of black and white, two of them in one.
    let stripes = RgbImage::from_fn(3840, 4, |x, _| image::Rgb([if x % 2 == 0 { 0 } else { 200 }; 3]));
    let small = shrunk(&encoded(&stripes.into(), ImageFormat::Png)).unwrap();
    assert!(small.pixels().all(|pixel| pixel.0 == [100; 3]));
}

#[test]
fn what_is_transparent_is_over_black() {
    let half = DynamicImage::from(RgbaImage::from_pixel(32, 32, Rgba([200, 100, 0, 128])));
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Tga] {
        let pixel = shrunk(&encoded(&half, format)).unwrap().get_pixel(16, 16).0;
        assert!(differ(pixel, [100, 50, 0]) <= 1, "{format:?}: {pixel:?}");
    }
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

#[test]
fn floats_of_a_tiff_are_light_and_its_alpha_is_seen_to() {
    use ::tiff::encoder::{TiffEncoder, colortype};
    let mut bytes = Cursor::new(Vec::new());
    let light = [0.5_f32, 0.0, 7.0].repeat(50 * 40);
    TiffEncoder::new(&mut bytes)
        .unwrap()
        .write_image::<colortype::RGB32Float>(50, 40, &light)
        .unwrap();
    let image = shrunk(bytes.get_ref()).unwrap();
    assert_eq!(
        (image.dimensions(), image.get_pixel(49, 39).0),
        ((50, 40), [188, 0, 255])
    );
    let mut bytes = Cursor::new(Vec::new());
    let half = [200_u8, 100, 0, 128].repeat(50 * 40);
    TiffEncoder::new(&mut bytes)
        .unwrap()
        .write_image::<colortype::RGBA8>(50, 40, &half)
        .unwrap();
    let pixel = shrunk(bytes.get_ref()).unwrap().get_pixel(49, 39).0;
    assert!(differ(pixel, [100, 50, 0]) <= 1 || pixel == [200, 100, 0], "{pixel:?}");
}

/// A DPX of one colour.
fn dpx(kind: u8, bits: u8, packing: u16, row: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 2048];
    bytes[..4].copy_from_slice(b"SDPX");
    bytes[6] = 8;
    bytes[771] = 1;
    (bytes[775], bytes[779]) = (3, 2);
    (bytes[800], bytes[801], bytes[803]) = (kind, 2, bits);
    bytes[804..806].copy_from_slice(&packing.to_be_bytes());
    bytes[810] = 8;
    bytes.extend(row);
    bytes.extend(row);
    bytes
}

#[test]
fn every_depth_of_dpx_is_read() {
    let eight = [[200, 100, 50].repeat(3), vec![0; 3]].concat();
    let sixteen: Vec<u8> = [200, 9, 100, 9, 50, 9].repeat(3);
    let word = |samples: [u32; 3], right: u32| {
        let [red, green, blue] = samples.map(|sample| sample << 2);
        (((red << 20) | (green << 10) | blue) << right).to_be_bytes()
    };
    let ten = |right: u32| [word([200, 100, 50], right); 3].concat();
    let with_alpha = [[200, 100, 50], [255, 200, 100], [50, 255, 200], [100, 50, 255]];
    let with_alpha: Vec<u8> = with_alpha.into_iter().flat_map(|samples| word(samples, 2)).collect();
    for (what, bytes) in [
        ("8 bits", dpx(50, 8, 0, &eight)),
        ("10 bits", dpx(50, 10, 1, &ten(2))),
        ("10 bits on the right", dpx(50, 10, 2, &ten(0))),
        ("12 bits", dpx(50, 12, 1, &sixteen)),
        ("16 bits", dpx(50, 16, 0, &sixteen)),
        ("10 bits with alpha", dpx(51, 10, 1, &with_alpha)),
    ] {
        let image = shrunk(&bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(image.dimensions(), (3, 2));
        for pixel in image.pixels() {
            assert!(differ(pixel.0, [200, 100, 50]) <= 1, "{what}: {pixel:?}");
        }
    }
}

#[test]
fn j25_what_is_not_supported_is_told_from_what_is_broken() {
    for content in [&b""[..], b"GIF89a", b"hello", b"\0\0\0\0", b"%!PS-Adobe-3.0"] {
        assert!(
            matches!(shrunk(content), Err(PictureError::Unsupported(_))),
            "{content:?}"
        );
    }
    let whole = encoded(&DynamicImage::new_rgb8(64, 64), ImageFormat::Png);
    for cut in [8, 20, 33, whole.len() / 2] {
        let error = shrunk(&whole[..cut]).unwrap_err();
        assert!(
            matches!(error, PictureError::Broken(_) | PictureError::Io(_)),
            "cut at {cut}: {error}"
        );
    }
}

#[test]
fn j25_a_picture_that_claims_to_be_enormous_is_refused_before_it_takes_memory() {
    let mut png = encoded(&DynamicImage::new_rgb8(8, 8), ImageFormat::Png);
    // Width and height of the header, with its checksum left wrong: both must not be followed.
    png[16..24].copy_from_slice(&[0, 1, 0x86, 0xa0, 0, 1, 0x86, 0xa0]);
    assert!(shrunk(&png).is_err());
    let mut bmp = encoded(&DynamicImage::new_rgb8(8, 8), ImageFormat::Bmp);
    bmp[18..26].copy_from_slice(&[0xa0, 0x86, 1, 0, 0xa0, 0x86, 1, 0]);
    let hdr = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 100000 +X 100000\n";
    let mut film = dpx(50, 8, 0, &[0; 12]);
    film[773] = 2;
    let jpeg = encoded(&DynamicImage::new_rgb8(8, 8), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    let mut jpeg = jpeg;
    jpeg[frame + 5..frame + 9].fill(0xff);
    let wide = encoded(&DynamicImage::new_luma8((1 << 16) + 1, 1), ImageFormat::Png);
    for (what, bytes) in [
        ("BMP", &bmp[..]),
        ("HDR", hdr),
        ("DPX", &film),
        ("JPEG", &jpeg),
        ("wide PNG", &wide),
    ] {
        let error = shrunk(bytes).unwrap_err();
        assert!(!matches!(error, PictureError::Unsupported(_)), "{what}: {error}");
        assert!(error.to_string().contains("large"), "{what}: {error}");
    }
}
