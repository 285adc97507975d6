// SPDX-License-Identifier: GPL-3.0-or-later
//! Light for the demo's own renderer: balls on a mirror, seen by a camera that goes once around them. No state, no clock, no files.

use std::f32::consts::TAU;

use image::{Rgb, RgbImage};

/// Pixels of a picture.
pub(crate) const SIZE: (u16, u16) = (640, 360);
/// How often a ray is mirrored.
const BOUNCES: u8 = 3;
/// The balls around the one in the middle.
const RING: u8 = 9;
/// Focal length, in heights of the picture.
const LENS: f32 = 1.55;

type Vector = [f32; 3];

#[derive(Clone, Copy)]
struct Ball {
    middle: Vector,
    radius: f32,
    colour: Vector,
    /// 0 scatters all light, 1 mirrors it.
    mirror: f32,
}

/// One moment of the turn.
pub(crate) struct Scene {
    balls: Vec<Ball>,
    eye: Vector,
    forward: Vector,
    right: Vector,
    up: Vector,
}

impl Scene {
    /// `turn` goes from 0 to 1 once around.
    pub(crate) fn at(turn: f32) -> Self {
        let angle = TAU * turn;
        let eye = [6.4 * angle.sin(), 2.5, -6.4 * angle.cos()];
        let forward = unit(minus([0.0, 0.75, 0.0], eye));
        let right = unit(cross([0.0, 1.0, 0.0], forward));
        let mut balls = vec![Ball {
            middle: [0.0, 1.25, 0.0],
            radius: 1.25,
            colour: [0.95, 0.45, 0.5],
            mirror: 0.35,
        }];
        balls.extend((0..RING).map(|at| ring_ball(f32::from(at) / f32::from(RING), at % 3 == 0, angle)));
        Self {
            balls,
            eye,
            forward,
            right,
            up: cross(forward, right),
        }
    }

    /// The picture, each pixel from `samples` rays along and `samples` across.
    pub(crate) fn picture(&self, samples: u16) -> RgbImage {
        let mut picture = RgbImage::new(SIZE.0.into(), SIZE.1.into());
        let share = 1.0 / f32::from(samples);
        for (y, row) in (0..SIZE.1).zip(picture.rows_mut()) {
            for (x, pixel) in (0..SIZE.0).zip(row) {
                let mut light = [0.0; 3];
                for (i, j) in (0..samples).flat_map(|i| (0..samples).map(move |j| (i, j))) {
                    let point = [
                        f32::from(x) + (f32::from(i) + 0.5) * share,
                        f32::from(y) + (f32::from(j) + 0.5) * share,
                    ];
                    light = plus(light, times(self.ray_through(point), share * share));
                }
                *pixel = Rgb(light.map(as_byte));
            }
        }
        picture
    }

    fn ray_through(&self, [x, y]: [f32; 2]) -> Vector {
        let (width, height) = (f32::from(SIZE.0), f32::from(SIZE.1));
        let across = times(self.right, (x - width / 2.0) / height);
        let along = times(self.up, (height / 2.0 - y) / height);
        let direction = unit(plus(times(self.forward, LENS), plus(across, along)));
        self.light(self.eye, direction, BOUNCES)
    }

    /// What comes to `from` out of this direction.
    fn light(&self, from: Vector, direction: Vector, bounces: u8) -> Vector {
        let floor = -from[1] / direction[1];
        let ball = self.nearest(from, direction);
        let (point, normal, colour, mirror) = match ball {
            Some((distance, ball)) => {
                let point = plus(from, times(direction, distance));
                (point, unit(minus(point, ball.middle)), ball.colour, ball.mirror)
            }
            None if floor > 0.0 => {
                let point = plus(from, times(direction, floor));
                let far = (-0.012 * dot(point, point)).exp();
                (point, [0.0, 1.0, 0.0], [0.16, 0.2, 0.3], 0.45 + 0.5 * (1.0 - far))
            }
            None => return sky(direction),
        };
        let outside = plus(point, times(normal, 1e-3));
        let scattered = multiplied(colour, self.lit(outside, normal));
        if bounces == 0 {
            return scattered;
        }
        let mirrored = minus(direction, times(normal, 2.0 * dot(direction, normal)));
        let seen = self.light(outside, mirrored, bounces - 1);
        plus(times(scattered, 1.0 - mirror), times(seen, mirror))
    }

    /// The sun, if nothing stands before it, and a little of the sky.
    fn lit(&self, point: Vector, normal: Vector) -> Vector {
        let sun = unit([0.55, 0.75, -0.45]);
        let facing = dot(normal, sun).max(0.0);
        let free = facing > 0.0 && self.nearest(point, sun).is_none();
        let ambient = 0.28 + 0.12 * normal[1];
        plus([ambient; 3], times([1.0, 0.95, 0.86], if free { facing } else { 0.0 }))
    }

    fn nearest(&self, from: Vector, direction: Vector) -> Option<(f32, &Ball)> {
        let hits = self.balls.iter().filter_map(|ball| {
            let off = minus(from, ball.middle);
            let half = dot(off, direction);
            let root = half * half - dot(off, off) + ball.radius * ball.radius;
            let distance = -half - root.max(0.0).sqrt();
            (root > 0.0 && distance > 0.0).then_some((distance, ball))
        });
        hits.min_by(|one, other| one.0.total_cmp(&other.0))
    }
}

fn ring_ball(share: f32, mirrors: bool, angle: f32) -> Ball {
    let (around, radius) = (TAU * share, 0.36 + 0.12 * (3.0 * TAU * share).sin());
    let hop = 0.35 * (2.0 * angle + 2.0 * around).sin().max(0.0);
    let tint = |shift: f32| 0.55 + 0.42 * (TAU * (share + shift)).cos();
    Ball {
        middle: [2.4 * around.cos(), radius + hop, 2.4 * around.sin()],
        radius,
        colour: [tint(0.0), tint(0.33), tint(0.67)],
        mirror: if mirrors { 0.75 } else { 0.15 },
    }
}

fn sky(direction: Vector) -> Vector {
    let height = direction[1].max(0.0).sqrt();
    plus(times([0.62, 0.5, 0.52], 1.0 - height), times([0.1, 0.18, 0.4], height))
}

/// Light as a display's byte, roughly sRGB.
fn as_byte(light: f32) -> u8 {
    let shown = (light.clamp(0.0, 1.0).powf(1.0 / 2.2) * 255.0).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 0 and 255"
    )]
    let byte = shown as u8;
    byte
}

fn plus(a: Vector, b: Vector) -> Vector {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

fn minus(a: Vector, b: Vector) -> Vector {
    plus(a, times(b, -1.0))
}

fn times(a: Vector, by: f32) -> Vector {
    a.map(|part| part * by)
}

fn multiplied(a: Vector, b: Vector) -> Vector {
    [a[0] * b[0], a[1] * b[1], a[2] * b[2]]
}

fn dot(a: Vector, b: Vector) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: Vector, b: Vector) -> Vector {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

fn unit(a: Vector) -> Vector {
    times(a, 1.0 / dot(a, a).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ray_straight_at_a_ball_meets_its_near_side() {
        let scene = Scene::at(0.0);
        let met = scene.nearest([0.0, 1.25, -10.0], [0.0, 0.0, 1.0]);
        let (distance, ball) = met.expect("the ball in the middle is there");
        assert!((distance - 8.75).abs() < 1e-3, "{distance}");
        assert!((ball.radius - 1.25).abs() < 1e-6);
        assert!(scene.nearest([0.0, 1.25, -10.0], [0.0, 0.0, -1.0]).is_none());
    }

    #[test]
    fn two_moments_of_the_turn_differ_and_the_same_moment_does_not() {
        let row = |turn| {
            let scene = Scene::at(turn);
            let points = (0..SIZE.0).map(|x| [f32::from(x), 180.0]);
            points
                .map(|point| scene.ray_through(point).map(as_byte))
                .collect::<Vec<_>>()
        };
        assert_eq!(row(0.25), row(0.25));
        assert_ne!(row(0.0), row(0.25));
    }

    #[test]
    fn light_becomes_a_byte_within_its_range() {
        assert_eq!([-1.0, 0.0, 1.0, 7.0].map(as_byte), [0, 0, 255, 255]);
    }
}
