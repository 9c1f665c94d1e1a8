//! What an execution takes over from an earlier one, and what it keeps for a later one.

use std::collections::BTreeSet;

use super::{Alone, ExecutionError, Run};
use crate::evidence::PublishError;
use crate::run::context::{BucketStore, World};
use crate::run::entry;
use crate::run::judge::Progress;
use crate::run::lane::Lane;
use crate::run::observation::{Answer, Observation};
use crate::run::outcome::{Mode, RenderError, Resumed};
use crate::run::resume::{Earlier, LEFT, Left, Source};

impl<'a> Run<'a> {
    /// Takes over what the lanes before this one observed then.
    pub(super) fn go_on_from(&mut self, alone: &Alone) {
        let phase = self.execution.phase;
        for lane in phase.with_prerequisites(&BTreeSet::from([alone.lane])) {
            if lane != alone.lane {
                let own = alone.stored.observations.of_lane(lane).cloned();
                own.for_each(|observation| self.books.observations.insert(observation));
                self.lanes.insert(lane, Progress::Ran(None));
            }
        }
        self.books.notes.push(format!("{} alone, on the evidence of {}", alone.lane, alone.stored.ids.execution));
        self.earlier = Some(Earlier {
            ids: alone.stored.ids.clone(),
            folder: alone.stored.folder.clone(),
            lanes: phase.lanes.iter().map(|lane| lane.id).filter(|lane| *lane != alone.lane).collect(),
        });
    }

    pub(super) fn is_taken_over(&self, lane: &Lane) -> bool {
        self.resumed.is_some() && self.earlier.as_ref().is_some_and(|earlier| earlier.lanes.contains(lane.id))
    }

    /// Takes over the lanes that an execution closed which did not come to its end: only where nothing has changed since,
    /// and its evidence verifies.
    pub(super) fn take_over(
        &mut self,
        id: &str,
        selected: &BTreeSet<&'static str>,
        world: &World<'_>,
    ) -> Result<(), String> {
        let phase = self.execution.phase;
        let bucket = self.evidence_bucket().ok_or_else(|| entry::no_bucket(phase).why)?;
        let source = Source {
            phase,
            folder: self.folder.with_file_name(id),
            objects: &world.objects,
            bucket: &bucket,
            prefix: phase.run_control.replace("{id}", id),
        };
        let mut taken = source.take(&self.record(&world.account)).map_err(|error| error.to_string())?;
        taken.earlier.lanes.retain(|lane| selected.contains(lane));
        let lanes = taken.earlier.lanes.clone();
        let own = taken.observations.into_iter().filter(|o| lanes.contains(o.lane.as_str()));
        own.for_each(|observation| self.books.observations.insert(observation));
        let mut files = Vec::new();
        for (lane, left) in taken.left.into_iter().filter(|(lane, _)| lanes.contains(lane)) {
            self.lanes.insert(lane, Progress::Ran(None));
            self.books.names.extend(left.names.clone());
            self.books.notes.extend(left.notes.clone());
            self.books.trusted.extend(left.trusted.clone());
            files.extend(left.files.clone());
            self.left.insert(lane, left);
        }
        let names: Vec<String> = lanes.iter().map(|lane| (*lane).to_owned()).collect();
        let said = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        self.books.notes.push(format!("goes on from {id}: {said} taken over, everything else is asked again"));
        self.resumed = Some(Resumed { execution_id: id.to_owned(), lanes: names, files });
        self.earlier = Some(taken.earlier);
        Ok(())
    }

    /// Keeps what the closed lanes observed and left, as soon as there is a store to keep it in: an execution that ends
    /// here may be gone on from.
    pub(super) fn keep_closed(&mut self, world: &World<'_>) {
        let phase = self.execution.phase;
        let Some(bucket) = self.durable_bucket() else { return };
        if self.execution.settings.mode == Mode::Preflight || self.execution.alone.is_some() {
            return;
        }
        let store = BucketStore { objects: &world.objects, bucket: &bucket };
        while let Some((lane, left)) = self.left.pop_first() {
            let kept = self.take_down_left(lane, &left).and_then(|()| self.observations_of(lane));
            let Ok((name, body)) = kept else { continue };
            match self.leave(Some(&store), &name, &body) {
                Ok(receipt) => self.books.keep(&receipt, self.execution.settings.mode),
                // The end of the execution withholds it, and says so.
                Err(PublishError::Secret { .. }) => {}
                Err(error) => {
                    let known = self.judgement().findings(&self.books.observations);
                    self.own.push(entry::unwritten(phase, &error, &known));
                    self.unwritten.insert(name);
                }
            }
        }
    }

    pub(super) fn take_down_left(&mut self, lane: &str, left: &Left) -> Result<(), ExecutionError> {
        let error = |why: String| RenderError { name: format!("observations/{lane}.json"), why };
        let value = serde_json::to_value(left).map_err(|e| error(e.to_string()))?;
        let source = "what the lane left, kept when it was closed";
        let observation =
            Observation::new(lane, LEFT, source, Answer::Value(value)).map_err(|e| error(e.to_string()))?;
        self.books.observations.insert(observation);
        Ok(())
    }
}
