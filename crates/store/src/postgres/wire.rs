//! From the synchronous core to the asynchronous client: who carries the bytes of a connection.
//!
//! The thread that waits for an answer carries them itself: a task on another thread would have to be woken for each
//! question and would have to wake it for each answer, which cost as much processor time as the statement. A connection
//! that hears what the server says by itself has a task all the same, because nobody may be waiting then.

use std::cell::RefCell;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use tokio::runtime::{Handle, Runtime, RuntimeFlavor};

/// What sends questions and takes in answers as long as it is polled; done when the connection has ended.
pub(super) type Bytes = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Who carries the bytes of one connection. To be dropped after its client, whose end is the good-bye to the server.
pub(super) struct Wire(Option<Waiting>);

/// Whoever waits does.
struct Waiting {
    runtime: Runtime,
    /// `None` once the connection has ended.
    bytes: RefCell<Option<Bytes>>,
}

impl Wire {
    /// Connects by `connect`, on this thread; afterwards whoever waits carries the bytes.
    ///
    /// # Errors
    /// What `connect` answers.
    pub(super) fn of_who_waits<C, E: From<std::io::Error>>(
        connect: impl Future<Output = Result<(C, Bytes), E>>,
    ) -> Result<(C, Self), E> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        match blocking(&runtime, connect) {
            Ok((client, bytes)) => {
                let bytes = RefCell::new(Some(bytes));
                Ok((client, Self(Some(Waiting { runtime, bytes }))))
            }
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// A task of a runtime that lives elsewhere carries them.
    pub(super) fn of_a_task() -> Self {
        Self(None)
    }

    /// Blocks this thread until `asked` is done.
    pub(super) fn wait<F: Future>(&self, asked: F) -> F::Output {
        let Some(Waiting { runtime, bytes }) = &self.0 else { return parked(asked) };
        let mut asked = pin!(asked);
        blocking(
            runtime,
            std::future::poll_fn(|context| {
                // First what is asked, so that it is sent at once; then, if something came, whether that is the answer.
                if let Poll::Ready(answer) = asked.as_mut().poll(context) {
                    return Poll::Ready(answer);
                }
                carry(bytes, context);
                asked.as_mut().poll(context)
            }),
        )
    }

    /// Takes in what came while nobody waited: the end of the connection too.
    pub(super) fn look(&self) {
        let Some(Waiting { runtime, bytes }) = &self.0 else { return };
        if bytes.borrow().is_none() {
            return;
        }
        let mut has_looked = false;
        blocking(runtime, async {
            // The runtime sees what came between two turns.
            std::future::poll_fn(|context| {
                carry(bytes, context);
                if std::mem::replace(&mut has_looked, true) {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        });
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let Some(Waiting { runtime, bytes }) = self.0.take() else { return };
        blocking(
            &runtime,
            std::future::poll_fn(|context| {
                carry(&bytes, context);
                Poll::Ready(())
            }),
        );
        drop(bytes);
        runtime.shutdown_background();
    }
}

/// Runs `work` on `runtime`.
fn blocking<F: Future>(runtime: &Runtime, work: F) -> F::Output {
    aside(|| runtime.block_on(work))
}

/// Does `work`, which may wait. A thread that runs the tasks of another runtime hands them to another thread first: the
/// program answers its callers also while the database does not.
pub(super) fn aside<T>(work: impl FnOnce() -> T) -> T {
    let runs_tasks = Handle::try_current()
        .is_ok_and(|current| current.runtime_flavor() == RuntimeFlavor::MultiThread);
    if runs_tasks { tokio::task::block_in_place(work) } else { work() }
}

/// Sends and takes in what can be at once.
fn carry(bytes: &RefCell<Option<Bytes>>, context: &mut Context<'_>) {
    let mut bytes = bytes.borrow_mut();
    if bytes.as_mut().is_some_and(|bytes| bytes.as_mut().poll(context).is_ready()) {
        // Whatever is asked of it hears of the end.
        *bytes = None;
    }
}

/// Gives `told` what each of these comes to. They are begun in their order by the first turn: none waits for the answer to
/// another.
pub(super) async fn together<T, F: Future<Output = T> + Unpin>(
    asked: Vec<F>,
    mut told: impl FnMut(usize, T),
) {
    let mut asked: Vec<Option<F>> = asked.into_iter().map(Some).collect();
    std::future::poll_fn(|context| {
        for (at, asked) in asked.iter_mut().enumerate() {
            let Some(pending) = asked else { continue };
            if let Poll::Ready(answer) = Pin::new(pending).poll(context) {
                *asked = None;
                told(at, answer);
            }
        }
        if asked.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Blocks this thread until `future`, which others move on, is done.
pub(super) fn parked<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use crate::postgres::Admin;
    use crate::testing::TestDatabase;

    #[test]
    fn a_thread_that_waits_for_the_database_leaves_the_tasks_of_its_runtime_to_others() {
        let database = TestDatabase::create();
        let holder = Admin::open(database.url()).unwrap();
        holder.run("SELECT pg_advisory_lock(1)").unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let url = database.url().to_owned();
        let (tell, told) = std::sync::mpsc::channel();
        let waits = runtime.spawn(async move {
            let waiting = Admin::open(&url).unwrap();
            tell.send(()).unwrap();
            waiting.run("SELECT pg_advisory_lock(1)").unwrap();
        });
        told.recv().unwrap();
        // The one thread of the runtime waits for the lock, which only this task gives back.
        let gives_back =
            runtime.spawn(async move { holder.run("SELECT pg_advisory_unlock(1)").unwrap() });
        runtime.block_on(async {
            gives_back.await.unwrap();
            waits.await.unwrap();
        });
    }
}
