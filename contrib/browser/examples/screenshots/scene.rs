// SPDX-License-Identifier: GPL-3.0-or-later
//! The moment worth a picture: a worker asked to sleep after its task, and a job that renders.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use browser::{Browser, Look, Page};

use test_bed::Terminal;

use crate::Done;

/// For the demonstration to come up, and for each of its pages.
const PATIENCE: Duration = Duration::from_mins(1);

/// Rows of workers that run a task.
const BUSY: &str = "[...document.querySelectorAll('#worker-rows tr')]
    .filter(row => row.querySelector('.task .status')?.textContent === 'active')";

/// The job that has tasks for minutes: others come and go, and one of them fails.
const LONG_JOB: &str =
    "[...document.querySelectorAll('#job-list a')].find(job => job.textContent.includes('Long turntable'))";

pub(crate) struct Scene<'a> {
    page: Page<'a>,
    url: String,
}

impl<'a> Scene<'a> {
    pub(crate) fn prepare(browser: &'a Browser, terminal: &Terminal) -> Result<Self, Box<dyn Error>> {
        let url = address(terminal)?;
        let page = browser.page(Look::default())?;
        let scene = Self { page, url };
        let page = &scene.page;
        page.goto(&format!("{}app/workers", scene.url))?;
        page.wait("document.querySelectorAll('#worker-rows tr').length >= 4")?;
        Ok(scene)
    }

    pub(crate) fn take(&self, look: Look, mut keep: impl FnMut(&str, &Page<'_>) -> Done) -> Done {
        let page = &self.page;
        page.look(look)?;
        page.run("document.getElementById('nav-workers').click()")?;
        page.wait("!document.querySelector('#worker-rows .arrow')")?;
        page.wait(&format!("{BUSY}.length >= 3"))?;
        page.run(&format!("{BUSY}[1].querySelector('th a').click()"))?;
        self.apply("asleep_lazy")?;
        page.wait("document.querySelector('.change .arrow')")?;
        if !look.phone {
            page.wait("!document.getElementById('worker-details').hidden")?;
        }
        page.run("scrollTo(0, 0)")?;
        keep("workers", page)?;
        page.run("document.getElementById('pick-all').click()")?;
        self.apply("wakeup")?;
        page.run("document.getElementById('nav-jobs').click()")?;
        page.wait(&format!("{LONG_JOB}?.querySelector('[data-status=active]')"))?;
        page.run(&format!("{LONG_JOB}.click()"))?;
        page.wait("document.querySelector('#task-rows .status[data-status=active]')")?;
        self.picture()?;
        if look.phone {
            keep("job", page)?;
        }
        page.run("document.querySelector('#task-rows .status[data-status=active]').closest('tr').click()")?;
        page.wait("document.querySelectorAll('.log-line').length > 10")?;
        keep(if look.phone { "task" } else { "jobs" }, page)
    }

    fn apply(&self, action: &str) -> Done {
        self.page.run(&format!(
            "const action = document.getElementById('action');
             action.value = '{action}';
             action.dispatchEvent(new Event('change'));
             document.getElementById('apply').click();"
        ))?;
        Ok(())
    }

    fn picture(&self) -> Done {
        self.page
            .wait("!document.getElementById('picture').hidden && document.getElementById('picture-image').complete")?;
        Ok(())
    }
}

/// The demonstration says where its page is.
fn address(terminal: &Terminal) -> Result<String, Box<dyn Error>> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let text = terminal.rows().join("\n");
        if let Some(at) = text.find("http://") {
            let address: String = text[at..]
                .chars()
                .take_while(|letter| !letter.is_whitespace())
                .collect();
            if address.ends_with('/') {
                return Ok(address);
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(format!("the demonstration named no address:\n{}", terminal.rows().join("\n")).into())
}
