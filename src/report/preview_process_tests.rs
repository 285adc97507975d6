// SPDX-License-Identifier: GPL-3.0-or-later

use std::fs;

use image::{Rgba, RgbaImage};
use tempfile::TempDir;

use super::*;

/// Shrinks what `content` says, and gives the picture that came of it.
fn shrunk(content: &[u8]) -> Result<(PreviewExit, Option<RgbImage>), ImageError> {
    let home = TempDir::new().unwrap();
    let (input, output) = (home.path().join("in.exr"), home.path().join("out.jpg"));
    fs::write(&input, content).unwrap();
    let end = shrink(&input, &output)?;
    let bytes = fs::read(&output).ok();
    let jpeg = |bytes: Vec<u8>| {
        image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg)
            .unwrap()
            .into_rgb8()
    };
    Ok((end, bytes.map(jpeg)))
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn near(pixel: [u8; 3], wanted: [u8; 3]) -> bool {
    pixel.iter().zip(wanted).all(|(one, other)| one.abs_diff(other) < 12)
}

#[test]
fn large_ones_are_made_to_fit_and_small_ones_stay() {
    let sizes = [
        ((3840, 2160), (1920, 1080)),
        ((100, 2160), (50, 1080)),
        ((4000, 10), (1920, 5)),
        ((64, 48), (64, 48)),
    ];
    for (from, to) in sizes {
        let image = DynamicImage::new_rgb8(from.0, from.1);
        let (end, picture) = shrunk(&encoded(&image, ImageFormat::Png)).unwrap();
        assert_eq!((end, picture.unwrap().dimensions()), (PreviewExit::Done, to));
    }
}

#[test]
fn every_kind_of_png_and_jpeg_is_read_whatever_it_is_called() {
    let red = [255, 0, 0];
    let kinds: [(&str, &[u8], [u8; 3]); 4] = [
        ("palette, interlaced", include_bytes!("fixtures/palette.png"), red),
        (
            "16 bit with alpha, interlaced",
            include_bytes!("fixtures/rgba16.png"),
            red,
        ),
        ("progressive", include_bytes!("fixtures/progressive.jpg"), red),
        ("CMYK", include_bytes!("fixtures/cmyk.jpg"), red),
    ];
    for (kind, bytes, wanted) in kinds {
        let (end, picture) = shrunk(bytes).unwrap();
        assert_eq!(end, PreviewExit::Done, "{kind}");
        let pixel = picture.unwrap().get_pixel(2, 2).0;
        assert!(near(pixel, wanted), "{kind}: {pixel:?}");
    }
    for image in [
        DynamicImage::new_luma8(9, 9),
        DynamicImage::new_luma16(9, 9),
        DynamicImage::new_luma_a8(9, 9),
    ] {
        let (end, picture) = shrunk(&encoded(&image, ImageFormat::Png)).unwrap();
        assert_eq!((end, picture.unwrap().get_pixel(4, 4).0), (PreviewExit::Done, [0; 3]));
    }
}

#[test]
fn what_is_transparent_is_over_black() {
    let half = RgbaImage::from_pixel(32, 32, Rgba([200, 100, 0, 128]));
    let (_, picture) = shrunk(&encoded(&half.into(), ImageFormat::Png)).unwrap();
    let pixel = picture.unwrap().get_pixel(16, 16).0;
    assert!(near(pixel, [100, 50, 0]), "{pixel:?}");
}

#[test]
fn anything_else_is_no_picture_and_a_broken_one_is_an_error() {
    for content in [&b"v/1\x01\x02"[..], b"", b"GIF89a", b"hello", b"\0\0\0\0"] {
        assert_eq!(shrunk(content).unwrap(), (PreviewExit::NoPicture, None));
    }
    let home = TempDir::new().unwrap();
    assert_eq!(
        shrink(home.path(), &home.path().join("out")).unwrap(),
        PreviewExit::NoPicture,
        "a folder"
    );
    assert!(shrink(&home.path().join("none"), &home.path().join("out")).is_err());
    let whole = encoded(&DynamicImage::new_rgb8(64, 64), ImageFormat::Png);
    for cut in [8, 20, 33, whole.len() / 2] {
        assert!(shrunk(&whole[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn a_picture_that_claims_to_be_enormous_is_refused_before_it_takes_memory() {
    let mut bytes = encoded(&DynamicImage::new_rgb8(8, 8), ImageFormat::Png);
    // Width and height of the header, with its checksum left wrong or right: both must not be followed.
    bytes[16..24].copy_from_slice(&[0, 0, 0x7f, 0xff, 0, 0, 0x7f, 0xff]);
    assert!(shrunk(&bytes).is_err());
    let wide = encoded(&DynamicImage::new_luma8(LONGEST_SIDE + 1, 1), ImageFormat::Png);
    assert!(matches!(shrunk(&wide), Err(ImageError::Limits(_))));
}
