//! The thread on which asynchronous requests are carried out and answered.

use std::{future::Future, io, pin::Pin, thread::JoinHandle};

use tokio::sync::mpsc;
use tramline_net::runtime::spawn_thread;

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One thread that runs many futures. What runs here never waits for an application: its callbacks only hand over.
pub(crate) struct Lane {
    jobs: mpsc::UnboundedSender<Option<Job>>,
    thread: JoinHandle<()>,
}

impl Lane {
    /// # Errors
    /// The operating system gave no thread.
    pub(crate) fn start() -> io::Result<Self> {
        let (jobs, mut inbox) = mpsc::unbounded_channel::<Option<Job>>();
        // Neither sockets nor timers: it waits on a condition variable, which is the cheapest to wake.
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let thread = spawn_thread("tramline-ffi", move || {
            runtime.block_on(async {
                while let Some(Some(job)) = inbox.recv().await {
                    tokio::spawn(job);
                }
            });
        })?;
        Ok(Self { jobs, thread })
    }

    /// Runs a future on the thread; drops it when the lane ends first. A panic in it ends it alone.
    pub(crate) fn spawn(&self, job: impl Future<Output = ()> + Send + 'static) {
        // After the end the job is dropped with the message.
        let _ = self.jobs.send(Some(Box::pin(job)));
    }

    /// Drops every future and ends the thread.
    pub(crate) fn stop(&self) {
        let _ = self.jobs.send(None);
    }

    /// The thread, to be joined.
    pub(crate) fn into_thread(self) -> JoinHandle<()> {
        self.thread
    }
}
