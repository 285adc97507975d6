// SPDX-License-Identifier: GPL-3.0-or-later

//! A task as the Manager assigns it. Parsing accepts everything that the Manager may write: a task that cannot be parsed is
//! assigned again for as long as its worker asks, and the worker does nothing else meanwhile.

use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use super::id::Id;
use crate::bounded;

/// A value that is nested deeper than this stays text: each level takes stack wherever the value is parsed, shown or dropped.
const MAX_DEPTH: usize = 512;

/// So many layers of a value that is too deep are parsed: a list, and what is in it.
const LAYERS: u32 = 2;

/// The largest task that is parsed, in bytes. The largest that was seen had a script of 4 KB.
pub(crate) const LARGEST_TASK: usize = 32 << 20;

/// So many values and names of values are parsed at most, which is more words than the kernel allows in a command line. The
/// shortest value takes two bytes of an answer and some hundred bytes of memory.
const MOST_VALUES: usize = 1 << 18;

/// So many bytes of the end of an answer that is too long are enough to find the task's id, which comes last in it.
pub(crate) const TASK_END: usize = 4 << 10;

/// A task to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AssignedTask {
    /// The task's id.
    pub uuid: Id,
    /// The job's UUID.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub job: String,
    /// The task's name, for people.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub name: String,
    /// The type of the job, such as `simple-blender-render`.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub job_type: String,
    /// The type of the task, such as `blender`.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub task_type: String,
    /// The commands, in the order in which they are run. An empty list is `null` in the answer.
    #[serde(default, deserialize_with = "commands")]
    pub commands: Vec<WireCommand>,
    /// How many steps the task has. With 0 or less nothing counts steps.
    #[serde(default, deserialize_with = "steps")]
    pub steps_total: i64,
}

/// One command of a task, before its parameters are parsed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireCommand {
    /// The command's name, such as `blender-render`.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub name: String,
    /// The parameters, which may be any JSON. An empty map is `null` in the answer.
    #[serde(default, deserialize_with = "parameters")]
    pub parameters: Map<String, Value>,
    /// How many steps the command has. With 0 or less the command counts as one step when it has succeeded.
    #[serde(default, deserialize_with = "steps")]
    pub total_step_count: i64,
}

/// An answer that should be a task, and cannot be parsed as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnreadableTask {
    /// The task's id, if it can be found in the answer.
    pub task: Option<Id>,
    /// What is wrong with the answer.
    pub why: String,
}

impl AssignedTask {
    /// Parses the answer to a fetch.
    ///
    /// # Errors
    /// Fails if the answer is not a task that could be run, or holds too many values. No value is too deep, and no number is
    /// too large.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, UnreadableTask> {
        #[derive(Deserialize)]
        struct OnlyId {
            uuid: Id,
        }
        let read = match values(body) {
            0..=MOST_VALUES => {
                serde_json::from_slice(body).map_err(|error| bounded::shorten_message(error.to_string()))
            }
            many => Err(format!("it has {many} values, which is more than {MOST_VALUES}")),
        };
        read.map_err(|why| UnreadableTask {
            task: serde_json::from_slice(body).ok().map(|OnlyId { uuid }| uuid),
            why,
        })
    }

    /// The most bytes that a parsed task takes when it is written.
    pub(crate) const LONGEST_WRITTEN: usize = longest_written(LARGEST_TASK, MOST_VALUES);

    /// A task of which only the id is known.
    pub(crate) fn unread(task: Id) -> Self {
        Self {
            uuid: task,
            job: String::new(),
            name: String::new(),
            job_type: String::new(),
            task_type: String::new(),
            commands: Vec::new(),
            steps_total: 0,
        }
    }
}

impl UnreadableTask {
    /// An answer that was longer than `most` bytes, so that only its `end` was kept.
    pub(crate) fn too_long(end: &[u8], most: usize) -> Self {
        Self {
            task: id_at_the_end(end),
            why: format!("it has more than {most} bytes"),
        }
    }
}

/// Finds the id at the end of a task. The Manager writes the fields in alphabetical order, so `"uuid":"..."}` closes a task.
/// Nothing inside the task can be mistaken for this, because the last brace of all is the task's own.
fn id_at_the_end(end: &[u8]) -> Option<Id> {
    let text = String::from_utf8_lossy(end);
    let fields = text.trim_end().strip_suffix('}')?.trim_end().strip_suffix('"')?;
    let (before, id) = fields.rsplit_once('"')?;
    let key = before.trim_end().strip_suffix(':')?.trim_end();
    key.ends_with("\"uuid\"").then(|| Id::try_from(id.to_owned()).ok())?
}

/// Values that are too deep are written as text, in which each quotation mark takes two bytes. A number may be written in
/// full, and a field that was left out is written as empty.
const fn longest_written(bytes: usize, values: usize) -> usize {
    const EACH: usize = 64;
    const TASK: usize = 1 << 10;
    TASK + 2 * bytes + EACH * values
}

fn null_is_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn commands<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<WireCommand>, D::Error> {
    let commands: Vec<Option<WireCommand>> = null_is_empty(deserializer)?;
    Ok(commands.into_iter().map(Option::unwrap_or_default).collect())
}

/// Parses any number, because all that matters is whether there is anything to count.
fn steps<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number: Option<Number> = Option::deserialize(deserializer)?;
    Ok(number.map_or(0, |number| number.as_i64().unwrap_or_else(|| nearest(&number))))
}

/// Converts a number that is not whole, or is too large.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the cast goes to the nearest number that fits"
)]
fn nearest(number: &Number) -> i64 {
    number.as_f64().map_or(0, |count| count as i64)
}

/// Parses each value; what is nested deeper than [`MAX_DEPTH`] becomes text.
fn parameters<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
    let raw: BTreeMap<String, Box<RawValue>> = null_is_empty(deserializer)?;
    let read = |(name, raw): (String, Box<RawValue>)| Ok((name, value(raw.get(), LAYERS).map_err(D::Error::custom)?));
    raw.into_iter().map(read).collect()
}

fn value(json: &str, layers: u32) -> serde_json::Result<Value> {
    if depth(json) > MAX_DEPTH {
        return layer(json, layers);
    }
    let mut deserializer = serde_json::Deserializer::from_str(json);
    deserializer.disable_recursion_limit();
    Value::deserialize(&mut deserializer)
}

/// Parses the outermost layer of a value that is too deep, so that only the deep part of it becomes text, and not what stands
/// beside it.
fn layer(json: &str, layers: u32) -> serde_json::Result<Value> {
    let Some(below) = layers.checked_sub(1) else {
        return Ok(Value::String(json.to_owned()));
    };
    if json.starts_with('[') {
        let items: Vec<&RawValue> = serde_json::from_str(json)?;
        return items.into_iter().map(|item| value(item.get(), below)).collect();
    }
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(json)?;
    let read = |(name, field): (String, &RawValue)| Ok((name, value(field.get(), below)?));
    fields.into_iter().map(read).collect()
}

/// How deep a JSON text is nested.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in outside_texts(json.as_bytes()) {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The greatest number of values and names of values that a JSON text can have: each but the outermost follows one of these
/// bytes.
fn values(json: &[u8]) -> usize {
    let before = |byte: &u8| matches!(byte, b'[' | b'{' | b',' | b':');
    outside_texts(json).filter(before).count()
}

/// The bytes that are not part of a string.
fn outside_texts(json: &[u8]) -> impl Iterator<Item = u8> {
    let mut bytes = json.iter().copied();
    let mut inside_text = false;
    std::iter::from_fn(move || {
        loop {
            match bytes.next()? {
                b'\\' => {
                    bytes.next();
                }
                b'"' => inside_text = !inside_text,
                byte if !inside_text => return Some(byte),
                _ => {}
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(rest: &str) -> AssignedTask {
        AssignedTask::parse(format!(r#"{{{rest},"uuid":"t1"}}"#).as_bytes()).unwrap()
    }

    #[test]
    fn null_lists_and_parameters_are_empty() {
        let task = parsed(r#""job":"j","name":"n","commands":null,"steps_total":0,"new_field":[1]"#);
        assert!(task.commands.is_empty());
        let task = parsed(r#""commands":[{"name":"echo","parameters":null,"total_step_count":0},null]"#);
        assert_eq!(task.commands[0].name, "echo");
        assert_eq!(task.commands[1], WireCommand::default());
    }

    #[test]
    fn i3_numbers_nulls_and_depth_beyond_ours_are_read() {
        for (number, read) in [
            ("-1", -1),
            ("5000000000", 5_000_000_000),
            ("1.5", 1),
            ("-2e30", i64::MIN),
            ("99999999999999999999", i64::MAX),
            ("null", 0),
        ] {
            let task = parsed(&format!(
                r#""steps_total":{number},"commands":[{{"name":"x","total_step_count":{number}}}]"#
            ));
            assert_eq!((task.steps_total, task.commands[0].total_step_count), (read, read));
        }
        let task = parsed(r#""job":null,"name":null,"job_type":null,"task_type":null"#);
        assert_eq!(task, AssignedTask::unread(task.uuid.clone()));
    }

    #[test]
    fn i3_a_value_is_read_as_deep_as_it_is_and_a_deeper_one_is_its_text() {
        let nested = |levels: usize| format!("{}\"]{{\\\"\"{}", "[".repeat(levels), "]".repeat(levels));
        let read = |levels: usize| {
            let text = format!(r#""commands":[{{"name":"x","parameters":{{"p":{}}}}}]"#, nested(levels));
            parsed(&text).commands.remove(0).parameters.remove("p").unwrap()
        };
        let mut value = &read(MAX_DEPTH);
        let mut levels = 0;
        while let Value::Array(list) = value {
            value = &list[0];
            levels += 1;
        }
        assert_eq!((levels, value), (MAX_DEPTH, &Value::from("]{\"")));
        assert_eq!(read(MAX_DEPTH + 1), serde_json::json!([read(MAX_DEPTH)]));
        let deep = 100_000;
        assert_eq!(read(deep), serde_json::json!([[nested(deep - 2)]]));
    }

    #[test]
    fn i3_what_cannot_be_read_has_its_id_found_wherever_it_is() {
        for body in [
            r#"{"uuid":"t1","commands":7}"#,
            r#"{"commands":[{"name":5,"parameters":{"uuid":"other"}}],"uuid":"t1"}"#,
            r#"{"steps_total":"many","uuid":"t1"}"#,
        ] {
            let unreadable = AssignedTask::parse(body.as_bytes()).unwrap_err();
            assert_eq!(unreadable.task.as_deref(), Some("t1"), "{unreadable:?}");
        }
        for body in ["", "<html>", "[]", "{}", r#"{"uuid":"../x"}"#, r#"{"uuid":null}"#] {
            assert_eq!(AssignedTask::parse(body.as_bytes()).unwrap_err().task, None, "{body}");
        }
        let end = |text: &str| id_at_the_end(text.as_bytes()).map(String::from);
        assert_eq!(
            end("9,9],\"task_type\":\"misc\",\"uuid\":\"t1\"}\n"),
            Some("t1".to_owned())
        );
        for other in [
            "\"uuid\":\"t1\"},1]}",
            "\"uuid\":\"t1\",\"x\":\"y\"}",
            "\"x\":\"t1\"}",
            "\"uuid\":\"a/b\"}",
        ] {
            assert_eq!(end(other), None, "{other}");
        }
    }

    #[test]
    fn i12_too_many_values_are_not_read_and_the_task_is_known() {
        let body = |each: &str, times: usize| {
            format!(
                r#"{{"commands":[{{"name":"x","parameters":{{"p":[{}0]}}}}],"uuid":"t1"}}"#,
                each.repeat(times)
            )
        };
        for (each, values) in [("0,", 1), ("{},", 2), ("\"\":[[[]]],", 5)] {
            let Err(many) = AssignedTask::parse(body(each, MOST_VALUES / values + 1).as_bytes()) else {
                panic!("so many were read: {each}");
            };
            assert_eq!(many.task.as_deref(), (each != "\"\":[[[]]],").then_some("t1"), "{each}");
            assert!(many.why.contains("values"), "{}", many.why);
        }
        let commands = format!(r#"{{"commands":[{}{{}}],"uuid":"t1"}}"#, "{},".repeat(MOST_VALUES));
        assert!(AssignedTask::parse(commands.as_bytes()).is_err());
        for fine in [body("0,", MOST_VALUES / 2), body("\"[{,:\\\"[\",", MOST_VALUES / 2)] {
            assert!(AssignedTask::parse(fine.as_bytes()).is_ok());
        }
    }

    #[test]
    fn i12_a_task_that_is_written_again_has_its_bound() {
        let deep = format!("{}\"{}\"{}", "[".repeat(600), r#"\"\\"#.repeat(50_000), "]".repeat(600));
        let many = |what: &str| [what; 1000].join(",");
        for parameters in [
            deep,
            many(r#""\u0001""#),
            many("1e15"),
            many("-1.2345678901234567e-300"),
            many("\"\u{7f}\u{2028}\""),
        ] {
            for body in [
                format!(r#"{{"commands":[{{"parameters":{{"p":[{parameters}]}}}}],"uuid":"t1"}}"#),
                format!(r#"{{"commands":[{},null],"uuid":"t1"}}"#, many("null")),
                format!(r#"{{"commands":[{},{{}}],"uuid":"t1"}}"#, many("{}")),
            ] {
                let read: AssignedTask = serde_json::from_str(&body).unwrap();
                let written = serde_json::to_vec(&read).unwrap().len();
                let most = longest_written(body.len(), values(body.as_bytes()));
                assert!(written <= most, "{written} of {most}: {}", &body[..100]);
            }
        }
    }

    proptest::proptest! {
        /// A proxy may answer anything at all.
        #[test]
        fn no_body_is_too_odd_to_be_read_as_a_task(body: Vec<u8>) {
            AssignedTask::parse(&body).ok();
            id_at_the_end(&body);
        }

        /// It waits in the spool, and a later process reads it.
        #[test]
        fn a_task_survives_being_kept(name: String, exe: String, number: f64, steps: i64) {
            let task = serde_json::json!({
                "uuid": "u", "job": "j", "name": name, "steps_total": steps,
                "commands": [{ "name": "exec", "parameters": { "exe": exe, "args": [number, null, [true]] } }],
            });
            let task: AssignedTask = serde_json::from_value(task).unwrap();
            let kept = serde_json::to_vec(&task).unwrap();
            proptest::prop_assert_eq!(serde_json::from_slice::<AssignedTask>(&kept).unwrap(), task);
        }
    }
}
