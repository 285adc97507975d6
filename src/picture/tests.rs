// SPDX-License-Identifier: GPL-3.0-or-later

use std::io::Cursor;

use super::*;
use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};

/// What Blender shows of the fixtures, as its PNG of the same picture has it: left a brown and a blue, top right a yellow
/// that is brighter than white.
const BLENDER: [(u32, u32, [u8; 3]); 3] = [(4, 12, [188, 90, 39]), (24, 24, [0, 137, 244]), (58, 6, [255, 255, 0])];

fn shrunk(bytes: &[u8]) -> Result<RgbImage, PictureError> {
    shrink(&mut Cursor::new(bytes), &Helpers::none())
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

#[test]
fn floats_of_a_tiff_are_light_and_its_alpha_is_seen_to() {
    use ::tiff::encoder::{TiffEncoder, colortype};
    use ::tiff::tags::Tag;
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
    let half = [200_u8, 100, 0, 128].repeat(50 * 40);
    // Colours that are weighed with alpha already, and others.
    for (extra_sample, wanted) in [(1_u16, [200, 100, 0]), (2, [100, 50, 0])] {
        let mut bytes = Cursor::new(Vec::new());
        let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
        let mut image = encoder.new_image::<colortype::RGBA8>(50, 40).unwrap();
        image
            .encoder()
            .write_tag(Tag::ExtraSamples, &[extra_sample][..])
            .unwrap();
        image.write_data(&half).unwrap();
        let pixel = shrunk(bytes.get_ref()).unwrap().get_pixel(49, 39).0;
        assert!(differ(pixel, wanted) <= 1, "{extra_sample}: {pixel:?}");
    }
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

#[test]
fn j25_what_its_decoder_has_no_room_for_is_said_before_it_begins() {
    let baseline = &encoded(&DynamicImage::new_rgb8(8, 8), ImageFormat::Jpeg);
    let progressive = &include_bytes!("fixtures/progressive.jpg")[..];
    let (lossless, lossy) = (
        &include_bytes!("fixtures/lossless.webp")[..],
        &include_bytes!("fixtures/lossy.webp")[..],
    );
    let jpeg = |bytes: &[u8], marker: u8, side: u16| {
        let frame = bytes.windows(2).position(|found| found == [0xff, marker]).unwrap();
        let mut bytes = bytes.to_vec();
        bytes[frame + 5..frame + 9].copy_from_slice(&[side.to_be_bytes(); 2].concat());
        bytes
    };
    let webp = |bytes: &[u8], side: u16| {
        let mut bytes = bytes.to_vec();
        let side = u32::from(side);
        match bytes[15] {
            b'L' => bytes[21..25].copy_from_slice(&((side - 1) | ((side - 1) << 14)).to_le_bytes()),
            _ => bytes[26..30].copy_from_slice(&(side | (side << 16)).to_le_bytes()),
        }
        bytes
    };
    for (what, bytes) in [
        ("JPEG of 180 MP", jpeg(baseline, 0xc0, 13400)),
        ("progressive JPEG of 60 MP", jpeg(progressive, 0xc2, 7750)),
        ("lossless WebP of 81 MP", webp(lossless, 9000)),
        ("lossy WebP of 121 MP", webp(lossy, 11000)),
    ] {
        let said = shrunk(&bytes).map(|image| image.dimensions());
        assert!(matches!(said, Err(PictureError::TooLarge(_))), "{what}: {said:?}");
    }
}
