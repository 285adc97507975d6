// SPDX-License-Identifier: GPL-3.0-or-later

use proptest::prelude::*;

use super::*;

/// What a program's output becomes when it arrives in these chunks, all within one interval of progress.
fn lines<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut lines = LineSplitter::new(Duration::from_secs(1), Instant::now());
    let mut given = Vec::new();
    for chunk in chunks {
        lines.feed(chunk, &mut |line| given.push(line.text.to_owned()));
    }
    lines.finish(&mut |line| given.push(line.text.to_owned()));
    given
}

fn one(bytes: &[u8]) -> Vec<String> {
    lines([bytes])
}

#[test]
fn a_line_ends_at_a_newline_and_nowhere_else() {
    assert_eq!(one(b"a\nb\r\n\nc"), ["a", "b", "", "c"]);
    let kept = "\u{feff}a\0\u{1b}[1m\u{b}\u{c}\u{85}\u{2028}z";
    assert_eq!(one(format!("{kept}\n").as_bytes()), [kept]);
    assert_eq!(one(b""), [""; 0]);
}

#[test]
fn h1_bytes_that_are_not_utf8_are_marked_where_they_stand() {
    assert_eq!(one(b"caf\xe9\nnext\n"), ["caf\u{fffd}", "next"]);
    assert_eq!(
        one(b"\xe2\x82\n\xf0\x9f\x98"),
        ["\u{fffd}\u{fffd}", "\u{fffd}\u{fffd}\u{fffd}"]
    );
    assert_eq!(one("ends in \u{fffd}\n".as_bytes()), ["ends in \u{fffd}"]);
}

#[test]
fn j28_a_line_has_its_bytes_as_they_were_written() {
    let mut lines = LineSplitter::new(Duration::from_secs(1), Instant::now());
    let mut given = Vec::new();
    let mut give = |line: OutputLine<'_>| given.push((line.text.to_owned(), line.bytes.to_owned()));
    lines.feed(b"caf\xe9\r\nplain\nfirst \xff", &mut give);
    lines.feed(b" rest\n", &mut give);
    let wanted: [(&str, &[u8]); 3] = [
        ("caf\u{fffd}", b"caf\xe9"),
        ("plain", b"plain"),
        ("first \u{fffd} rest", b"first \xff rest"),
    ];
    assert_eq!(given, wanted.map(|(text, bytes)| (text.to_owned(), bytes.to_owned())));
}

#[test]
fn h1_a_character_split_over_two_reads_stays_whole() {
    let text = "ä€😀\n".as_bytes();
    for cut in 0..text.len() {
        assert_eq!(lines([&text[..cut], &text[cut..]]), ["ä€😀"]);
    }
}

#[test]
fn h1_a_line_without_end_comes_in_bounded_pieces() {
    let mut lines = LineSplitter::new(Duration::from_secs(1), Instant::now());
    let (mut pieces, mut longest, mut bytes) = (0, 0, 0);
    let chunk = "€".repeat(50_000);
    for _ in 0..100 {
        lines.feed(chunk.as_bytes(), &mut |piece| {
            assert!(!piece.text.contains('\u{fffd}'));
            (pieces, longest, bytes) = (pieces + 1, longest.max(piece.text.len()), bytes + piece.text.len());
        });
        assert!(lines.open.capacity() <= 2 * LONGEST);
    }
    lines.finish(&mut |piece| bytes += piece.text.len());
    // Three bytes each: one more would be torn.
    assert_eq!((longest, bytes), (LONGEST - 1, 100 * chunk.len()));
    assert_eq!(pieces, bytes / (LONGEST - 1));
}

#[test]
fn a_line_as_long_as_a_piece_is_one_piece() {
    let line = "x".repeat(LONGEST);
    for end in ["\n", "\r\n", ""] {
        assert_eq!(one(format!("{line}{end}").as_bytes()), std::slice::from_ref(&line));
    }
    assert_eq!(one(format!("{line}y\n").as_bytes()), [line, "y".into()]);
}

#[test]
fn a_piece_of_replacements_is_bounded_too() {
    let given = one(&vec![0xff; LONGEST]);
    assert!(given.iter().all(|piece| piece.len() <= LONGEST));
    assert_eq!(given.concat().chars().count(), LONGEST);
}

#[test]
fn h2_of_a_progress_bar_the_first_and_the_last_state_remain() {
    let states: Vec<String> = (1..=1000).map(|frame| format!("frame={frame:4} fps=25")).collect();
    for end in ["\n", "\r\n", "\r", "\r       \n", "\r       \r\n", "\r\r\n", ""] {
        let bar = states.join("\r") + end;
        assert_eq!(one(bar.as_bytes()), [&*states[0], &*states[999]], "{end:?}");
    }
    assert_eq!(
        one(b"\r    \r10%\r    \r20%\r30%\r40%\r50%\ndone\n"),
        ["10%", "50%", "done"]
    );
}

#[test]
fn h2_a_message_with_a_return_inside_is_shown_whole() {
    assert_eq!(
        one(b"cannot open shot.blend\r: No such file\nnext\n"),
        ["cannot open shot.blend", ": No such file", "next"]
    );
    assert_eq!(one(b"copy a\r to b\r: denied\r\n"), ["copy a", " to b", ": denied"]);
    assert_eq!(one(b"cannot open a\r: 1%\r2%\r3%\r4%\r5%\n"), ["cannot open a", "5%"]);
    let long = "x".repeat(LONGEST + 1);
    assert_eq!(
        one(format!("a\rb\r{long}\rc\n").as_bytes()),
        ["a", "b", &long[1..], "x", "c"]
    );
}

#[test]
fn h2_a_state_of_blanks_is_none() {
    assert_eq!(one(b"a\r\r\n"), ["a"]);
    assert_eq!(one(b"\r\r\rb\n"), ["b"]);
    assert_eq!(one(b"100%\r"), ["100%"]);
    assert_eq!(one(b"50%\r   \r\n"), ["50%"]);
    assert_eq!(one(b"50%   \rdone  \n"), ["50%   ", "done  "]);
    assert_eq!(one(b"  \r\n\r\n  \n"), ["", "", "  "]);
}

#[test]
fn h2_progress_is_shown_while_it_stands_at_most_once_per_interval() {
    let second = Duration::from_secs(1);
    let start = Instant::now();
    let mut lines = LineSplitter::new(second, start);
    let mut given = Vec::new();
    let mut give = |line: OutputLine<'_>| given.push(line.text.to_owned());
    lines.feed(b"10%\r", &mut give);
    assert_eq!(lines.due(), None);
    lines.feed(b"11%\r12%\r13%\r14%\r15%\r", &mut give);
    assert_eq!(lines.due(), Some(start + second));
    lines.tick(start + second / 2, &mut give);
    lines.feed(b"20%\r3", &mut give);
    lines.tick(start + second, &mut give);
    assert_eq!(lines.due(), None);
    lines.feed(b"0%\r", &mut give);
    assert_eq!(lines.due(), Some(start + 2 * second));
    lines.tick(start + second * 3 / 2, &mut give);
    lines.tick(start + 2 * second, &mut give);
    lines.feed(b"\nnext\n", &mut give);
    assert_eq!(
        given,
        ["10%", "20%", "30%", "next"],
        "a state that was shown is not said again at the end of its line"
    );
}

#[test]
fn h2_a_line_that_stands_is_a_progress_bar() {
    let second = Duration::from_secs(1);
    let start = Instant::now();
    let mut lines = LineSplitter::new(second, start);
    let mut given = Vec::new();
    let mut give = |line: OutputLine<'_>| given.push(line.text.to_owned());
    for step in 1..=3 {
        lines.feed(format!("{step}.0\r{step}.3\r{step}.7\r").as_bytes(), &mut give);
        lines.tick(start + step * second, &mut give);
    }
    assert_eq!(given, ["1.0", "1.3", "1.7", "2.7", "3.7"]);
}

#[test]
fn g7_a_line_that_is_handed_over_goes_on_where_it_was() {
    let bytes = b"a\rb\rc\n1\r2\r3\r4\r5\r6\r7\n \r \nlast";
    for cut in 0..=bytes.len() {
        let mut given = Vec::new();
        let mut give = |line: OutputLine<'_>| given.push(line.text.to_owned());
        let (second, now) = (Duration::from_secs(1), Instant::now());
        let mut lines = LineSplitter::new(second, now);
        lines.feed(&bytes[..cut], &mut give);
        let mut lines = LineSplitter::take_over(lines.hand_over(), second, now);
        lines.feed(&bytes[cut..], &mut give);
        lines.finish(&mut give);
        assert_eq!(given, one(bytes), "handed over after {cut} bytes");
    }
}

#[test]
fn g7_a_line_of_the_program_before_goes_on_too() {
    let handed = r#"{"open":[52],"state":[51],"is_shown":false,"is_cut":false}"#;
    let handed = serde_json::from_str(handed).unwrap();
    let mut lines = LineSplitter::take_over(handed, Duration::from_secs(1), Instant::now());
    let mut given = Vec::new();
    lines.feed(b"2\n", &mut |line| given.push(line.text.to_owned()));
    assert_eq!(given, ["3", "42"]);
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_lines(
        pieces in prop::collection::vec(
            prop_oneof![
                Just(b"\n".to_vec()),
                Just(b"\r".to_vec()),
                Just(b"\r\n".to_vec()),
                "[a-zä€😀 ]{0,6}".prop_map(String::into_bytes),
                prop::collection::vec(any::<u8>(), 0..4),
                (LONGEST - 2..LONGEST + 2).prop_map(|long| vec![b'x'; long]),
            ],
            0..24,
        ),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let bytes = pieces.concat();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let chunks = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
        prop_assert_eq!(lines(chunks), one(&bytes));
    }

    #[test]
    fn no_byte_is_lost(words in prop::collection::vec("[^\r\n]{0,200}", 0..20)) {
        let text: String = words.iter().flat_map(|word| [word.as_str(), "\n"]).collect();
        prop_assert_eq!(one(text.as_bytes()), words);
    }
}
