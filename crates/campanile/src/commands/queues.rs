//! `campanile queues …`: how queues stand, and letting one go on.

use campanile_model::counted;
use serde_json::{Value, json};

use crate::args::QueuesCommand;
use crate::client::{Client, encode};
use crate::output::{self, Failure};

/// Runs one of the commands.
pub(crate) fn run(command: QueuesCommand, json: bool) -> Result<(), Failure> {
    match command {
        QueuesCommand::List(args) => {
            let answer = Client::new(&args)?.get("/api/queues")?.result();
            output::print(json, &answer, list);
        }
        QueuesCommand::Resume(args) => {
            let path = format!("/api/queues/{}/resume", encode(&args.queue));
            let answer =
                Client::new(&args.server)?.post(&path, &json!({"reason": args.reason}))?.result();
            output::print(json, &answer, |_| format!("queue '{}' goes on", args.queue));
        }
    }
    Ok(())
}

const HEADER: [&str; 7] =
    ["queue", "status", "order", "processors", "ready", "scheduled", "queued"];

fn list(answer: &Value) -> String {
    let rows: Vec<Vec<String>> = answer.as_array().into_iter().flatten().map(row).collect();
    let halted =
        answer.as_array().into_iter().flatten().filter(|queue| queue["status"] == "Halted");
    let mut text = output::table(&HEADER, &rows);
    for queue in halted {
        let word = |member: &str| queue[member].as_str().unwrap_or_default();
        text.push_str(&format!(
            "\nqueue '{}' is halted since {} by the error of event {}: reprocess or cancel it, or `campanile queues \
             resume {}`",
            word("queue"),
            word("halted_at"),
            word("halted_by"),
            word("queue")
        ));
    }
    text.push_str(&format!("\n{}", counted(rows.len() as u64, "queue", "queues")));
    text
}

fn row(queue: &Value) -> Vec<String> {
    let word = |member: &str| queue[member].as_str().unwrap_or_default().to_owned();
    let number = |member: &str| queue[member].as_u64().unwrap_or(0).to_string();
    vec![
        word("queue"),
        word("status"),
        word("order"),
        number("number_of_jobs"),
        number("ready"),
        number("scheduled"),
        number("queued"),
    ]
}
