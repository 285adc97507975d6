// SPDX-License-Identifier: GPL-3.0-or-later
//! A farm on this machine alone: the stand-in, the workers, and the kind of demonstration that was asked for.

use std::{env, path::Path};

use standin_manager::{StandIn, WorkerStatus};

use crate::{
    args::Play,
    crew::{Crew, Hiring},
    errands,
    farm::{self, Shot},
    interrupt::{End, Interrupt, failed},
    places::Places,
    renderer::{Encoder, Renderer},
    samples::Sampler,
    show::{Show, counted},
    stage::Stage,
    stay, walk,
    watch::Watch,
    worker,
};

/// What is said when it is told to go.
pub(crate) const STOPPING: &str = "Stopping the workers ... (Ctrl+C again is less patient)";

/// Where it is played, and for whom.
pub(crate) struct Local<'a> {
    pub(crate) places: &'a Places,
    pub(crate) show: &'a mut Show,
    pub(crate) interrupt: &'a mut Interrupt,
    /// There are pictures worth keeping.
    pub(crate) finished: bool,
}

impl Local<'_> {
    /// From the search for a renderer to the last worker's exit.
    ///
    /// # Errors
    /// Interrupted before its end (staying has no other), or something is not as it should be.
    pub(crate) fn perform(&mut self, play: &Play, program: &Path, workers: usize) -> Result<(), End> {
        let backstage = self.places.backstage();
        self.show.meanwhile("Looking for Blender and FFmpeg ...");
        let renderer = Renderer::find(backstage, self.interrupt)?;
        let encoder = Encoder::find(backstage, self.interrupt)?;
        let shot = Shot {
            renderer: &renderer,
            encoder: encoder.as_ref().ok(),
            output: self.places.output(),
            besides: &[],
        };
        let sampler = Sampler {
            shot: Shot {
                besides: renderer.overwriting,
                ..shot
            },
            program: env::current_exe().map_err(failed("looking for this program"))?,
            place: self.places.samples(),
        };
        let manager = backstage.join("manager");
        let standin = farm::start(&manager, &renderer, sampler.all()).map_err(failed("starting the Manager"))?;
        self.show.fact("Page", &standin.url());
        self.show.fact("Renderer", &renderer.label);
        let encoder = encoder.as_ref().map_or_else(|why| why, |it| &it.label);
        self.show.fact("Encoder", encoder);
        let hiring = Hiring {
            program,
            manager: standin.url(),
            name: "demo-worker".to_owned(),
            count: workers,
            configuration: worker::AT_HOME,
        };
        let mut crew = Crew::start(&hiring, self.places)?;
        let played = self.play(play, &standin, &crew, &sampler);
        if played.is_err() {
            self.show.meanwhile(STOPPING);
        }
        // Whatever happened: from here on no worker runs, nor anything it started.
        let parting = crew.stop(self.interrupt);
        match (play, played) {
            (Play::Walk, played) => parting.after(played)?,
            (Play::Jobs(_), played) => {
                parting.after(played)?;
                if !self.finished {
                    return Ok(());
                }
            }
            // It has no other end than being told to go.
            (Play::Stay(_), Ok(()) | Err(End::Interrupted(_))) => {
                self.finished = shot.rendered() > 0;
                self.tell_of_the_parting(&standin, &crew);
                return parting.after(Ok(()));
            }
            (Play::Stay(_), Err(failed)) => return parting.after(Err(failed)),
        }
        self.places.tell_of_the_results(&shot, self.show)?;
        self.show.gap();
        self.show
            .sentence("The page was there only as long as this ran. To steer a farm from it:");
        self.show
            .plain("  cargo run --release -p demo -- --stay --workers 3 --jobs long");
        Ok(())
    }

    fn play(&mut self, play: &Play, standin: &StandIn, crew: &Crew, sampler: &Sampler<'_>) -> Result<(), End> {
        match play {
            Play::Walk => {
                let [supervisor] = crew.members() else {
                    return Err(End::Failed("The guided walk follows one worker.".to_owned()));
                };
                let mut stage = Stage {
                    standin,
                    supervisor,
                    interrupt: self.interrupt,
                    show: self.show,
                    job: None,
                    may_leave: false,
                };
                let shot = Shot {
                    besides: &[],
                    ..sampler.shot
                };
                walk::walk(&mut stage, &shot, &mut self.finished)
            }
            Play::Jobs(names) => {
                self.show.heading("The samples, one after another");
                let mut watch = Watch::new(standin, crew, self.show, self.interrupt);
                errands::run(&mut watch, sampler, names, &mut self.finished)
            }
            Play::Stay(names) => {
                self.show.gap();
                self.show
                    .sentence("Open the page to watch and to steer. Ctrl+C ends the demonstration.");
                let mut watch = Watch::new(standin, crew, self.show, self.interrupt);
                stay::stay(&mut watch, sampler, names)
            }
        }
    }

    fn tell_of_the_parting(&mut self, standin: &StandIn, crew: &Crew) {
        let offline = standin.look(|snapshot| {
            let gone = |name| {
                snapshot
                    .worker_named(name)
                    .is_some_and(|worker| worker.status == WorkerStatus::Offline)
            };
            crew.members().iter().filter(|member| gone(member.name())).count()
        });
        self.show
            .plain(&format!("{} signed off and left.", counted(offline, "worker")));
    }
}
