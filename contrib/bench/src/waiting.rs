// SPDX-License-Identifier: GPL-3.0-or-later

//! Time that passes, and many waits at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Lets time pass. What happens meanwhile is what is measured.
pub(crate) fn pass(time: Duration) {
    std::thread::sleep(time);
}

/// Takes samples 0 to `count`, at most `at_once` at a time, each in a thread: they mostly wait. In order of their numbers.
///
/// # Errors
/// The first error; no further sample is begun then.
pub(crate) fn at_once<T: Send>(
    count: usize,
    at_once: usize,
    sample: impl Fn(usize) -> Result<T, String> + Sync,
) -> Result<Vec<T>, String> {
    let next = AtomicUsize::new(0);
    let several = || {
        let mut taken = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(taken);
            }
            match sample(number) {
                Ok(value) => taken.push((number, value)),
                Err(error) => {
                    next.store(count, Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    };
    let mut all = Vec::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..at_once.min(count)).map(|_| scope.spawn(several)).collect();
        for thread in threads {
            all.extend(thread.join().map_err(|_| "a sample panicked".to_owned())??);
        }
        Ok::<_, String>(())
    })?;
    all.sort_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, value)| value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_back_in_order() {
        assert_eq!(at_once(5, 2, |number| Ok(number * 2)), Ok(vec![0, 2, 4, 6, 8]));
    }

    #[test]
    fn a_failed_sample_ends_it() {
        let begun = AtomicUsize::new(0);
        let failed = at_once::<()>(100, 1, |_| {
            begun.fetch_add(1, Ordering::Relaxed);
            Err("why".to_owned())
        });
        assert_eq!((failed, begun.into_inner()), (Err("why".to_owned()), 1));
    }
}
