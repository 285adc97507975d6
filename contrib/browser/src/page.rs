// SPDX-License-Identifier: GPL-3.0-or-later
//! One page, as a person at a screen has it: look, click, type, read.

use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::{driver::Browser, error::Error, http};

/// How long a fact may take; never waited out by a test that passes.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// WebDriver's name for an element in JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// What kind of screen the page is shown on.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// In CSS pixels.
    pub width: u32,
    pub height: u32,
    /// Device pixels to a CSS pixel.
    pub scale: u32,
    pub theme: Theme,
    /// A touch screen, with the page as wide as the screen.
    pub phone: bool,
}

/// `prefers-color-scheme`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    Light,
    Dark,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            width: 1280,
            height: 900,
            scale: 1,
            theme: Theme::Light,
            phone: false,
        }
    }
}

impl Look {
    /// A phone in a hand.
    #[must_use]
    pub fn phone() -> Self {
        Self {
            width: 390,
            height: 844,
            scale: 2,
            phone: true,
            ..Self::default()
        }
    }

    #[must_use]
    pub fn theme(self, theme: Theme) -> Self {
        Self { theme, ..self }
    }
}

/// An open page. Dropping it closes its Chromium.
pub struct Page<'a> {
    browser: &'a Browser,
    session: String,
}

impl<'a> Page<'a> {
    pub(crate) fn new(browser: &'a Browser, session: String, look: Look) -> Result<Self, Error> {
        let page = Self { browser, session };
        page.look(look)?;
        Ok(page)
    }

    /// Changes the screen under an open page.
    ///
    /// # Errors
    /// As for every step: the browser is gone, or refuses.
    pub fn look(&self, look: Look) -> Result<(), Error> {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            &json!({
                "width": look.width,
                "height": look.height,
                "deviceScaleFactor": look.scale,
                "mobile": look.phone,
            }),
        )?;
        let theme = match look.theme {
            Theme::Light => "light",
            Theme::Dark => "dark",
        };
        let features = json!([{ "name": "prefers-color-scheme", "value": theme }]);
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": features }))?;
        self.devtools("Emulation.setTouchEmulationEnabled", &json!({ "enabled": look.phone }))?;
        Ok(())
    }

    #[expect(clippy::missing_errors_doc, reason = "said at `look`, here and below")]
    pub fn goto(&self, url: &str) -> Result<(), Error> {
        self.post("url", &json!({ "url": url })).map(drop)
    }

    /// Runs the body of a function in the page; its result, if it can be JSON.
    #[expect(clippy::missing_errors_doc, reason = "said at `look`")]
    pub fn run(&self, script: &str) -> Result<Value, Error> {
        self.post("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// The same for one expression.
    #[expect(clippy::missing_errors_doc, reason = "said at `look`")]
    pub fn value(&self, expression: &str) -> Result<Value, Error> {
        self.run(&format!("return ({expression});"))
    }

    /// Waits until an expression is true enough, and returns it.
    ///
    /// # Errors
    /// After half a minute, with what the page shows.
    pub fn wait(&self, expression: &str) -> Result<Value, Error> {
        let end = Instant::now() + PATIENCE;
        loop {
            let value = self.value(expression)?;
            if !matches!(value, Value::Null | Value::Bool(false)) && value != 0 && value != "" {
                return Ok(value);
            }
            if Instant::now() > end {
                let page = self.value("document.body.innerText")?;
                return Err(Error::InVain {
                    what: expression.to_owned(),
                    page: page.as_str().unwrap_or_default().to_owned(),
                });
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// The visible text of the first element that matches; waits for there to be one.
    #[expect(clippy::missing_errors_doc, reason = "said at `wait`")]
    pub fn text(&self, selector: &str) -> Result<String, Error> {
        let quoted = json!(selector);
        self.wait(&format!("document.querySelector({quoted})"))?;
        let text = self.value(&format!("document.querySelector({quoted}).innerText"))?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// A click as a mouse makes it: scrolled to, and refused where something else lies above.
    #[expect(clippy::missing_errors_doc, reason = "said at `look`")]
    pub fn click(&self, selector: &str) -> Result<(), Error> {
        let element = self.element(selector)?;
        self.post(&format!("element/{element}/click"), &json!({})).map(drop)
    }

    /// Presses and releases each character; WebDriver's code points stand for the keys that write nothing.
    #[expect(clippy::missing_errors_doc, reason = "said at `look`")]
    pub fn keys(&self, keys: &str) -> Result<(), Error> {
        let strokes: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                let stroke = |kind: &str| json!({ "type": kind, "value": key.to_string() });
                [stroke("keyDown"), stroke("keyUp")]
            })
            .collect();
        self.press(&strokes)
    }

    /// One key while another is held.
    #[expect(clippy::missing_errors_doc, reason = "said at `look`")]
    pub fn chord(&self, held: char, key: char) -> Result<(), Error> {
        let stroke = |kind: &str, key: char| json!({ "type": kind, "value": key.to_string() });
        let both = [
            stroke("keyDown", held),
            stroke("keyDown", key),
            stroke("keyUp", key),
            stroke("keyUp", held),
        ];
        self.press(&both)
    }

    fn press(&self, strokes: &[Value]) -> Result<(), Error> {
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes });
        self.post("actions", &json!({ "actions": [keyboard] })).map(drop)
    }

    /// A command of the DevTools protocol.
    #[expect(clippy::missing_errors_doc, reason = "said at `look`")]
    pub fn devtools(&self, command: &str, parameters: &Value) -> Result<Value, Error> {
        self.post("goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// What the browser itself complained of since the last call: errors of scripts, refusals of the policy.
    #[expect(clippy::missing_errors_doc, reason = "said at `look`")]
    pub fn complaints(&self) -> Result<Vec<String>, Error> {
        let entries = self.post("se/log", &json!({ "type": "browser" }))?;
        let severe = entries
            .as_array()
            .into_iter()
            .flatten()
            .filter(|entry| entry["level"] == "SEVERE");
        Ok(severe
            .map(|entry| entry["message"].as_str().unwrap_or_default().to_owned())
            .collect())
    }

    /// A PNG of what is in the window.
    #[expect(clippy::missing_errors_doc, reason = "said at `look`")]
    pub fn picture(&self) -> Result<Vec<u8>, Error> {
        let picture = self.devtools("Page.captureScreenshot", &json!({ "format": "png" }))?;
        let text = picture["data"].as_str().unwrap_or_default();
        BASE64_STANDARD
            .decode(text)
            .map_err(|why| Error::Talk(std::io::Error::other(why)))
    }

    fn element(&self, selector: &str) -> Result<String, Error> {
        let wish = json!({ "using": "css selector", "value": selector });
        let element = self.post("element", &wish)?;
        Ok(element[ELEMENT].as_str().unwrap_or_default().to_owned())
    }

    fn post(&self, step: &str, body: &Value) -> Result<Value, Error> {
        http::call(self.browser.port(), "POST", &format!("{}/{step}", self.session), body)
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        // What does not close now ends with its browser.
        http::call(self.browser.port(), "DELETE", &self.session, &Value::Null).ok();
    }
}
