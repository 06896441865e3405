//! What became of a batch, as it is told, and as it is kept under an idempotency key (rest-api §§17.5, 23).

use campanile_engine::EngineError;
use campanile_engine::events::service::FireOutcome;
use serde::{Deserialize, Serialize};

/// An event that was refused: its index in the batch, code and detail.
pub(super) type RefusedItem = (usize, &'static str, String);

/// Counts, and the events one by one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BatchResult {
    accepted: u64,
    duplicates: u64,
    rejected: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<Vec<Stored>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<Refused>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    index: usize,
    sys_id: String,
    duplicate: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Refused {
    index: usize,
    code: String,
    detail: String,
}

impl BatchResult {
    /// Of the `answers` to what stood at `places` of the batch, and of what was `refused` before.
    ///
    /// # Errors
    /// [`EngineError::BatchRefused`] when something was refused and nothing stored; what the store answered for one.
    pub(super) fn of(
        places: &[usize],
        answers: &[FireOutcome],
        mut refused: Vec<RefusedItem>,
    ) -> Result<Self, EngineError> {
        let mut stored = Vec::with_capacity(answers.len());
        for (place, answer) in places.iter().zip(answers) {
            match answer {
                Ok(answer) => stored.push(Stored {
                    index: *place,
                    sys_id: answer.sys_id.to_string(),
                    duplicate: answer.duplicate,
                }),
                Err(EngineError::FireRefused { code, detail }) => {
                    refused.push((*place, *code, detail.clone()));
                }
                Err(other) => return Err(other.clone()),
            }
        }
        refused.sort_by_key(|(place, _, _)| *place);
        if stored.is_empty() && !refused.is_empty() {
            return Err(EngineError::BatchRefused { items: refused });
        }
        let (mut accepted, mut duplicates) = (0, 0);
        for event in &stored {
            *(if event.duplicate { &mut duplicates } else { &mut accepted }) += 1;
        }
        let rejected = refused.len();
        let errors = refused.into_iter().map(|(index, code, detail)| Refused {
            index,
            code: code.to_owned(),
            detail,
        });
        let errors = Some(errors.collect()).filter(|errors: &Vec<Refused>| !errors.is_empty());
        Ok(Self { accepted, duplicates, rejected, events: Some(stored), errors })
    }

    /// The counts alone.
    pub(super) fn counts(self) -> Self {
        Self { events: None, errors: None, ..self }
    }

    /// As a repetition is told: every event was stored by the first call.
    pub(super) fn replayed(mut self) -> Self {
        self.duplicates += std::mem::take(&mut self.accepted);
        for event in self.events.iter_mut().flatten() {
            event.duplicate = true;
        }
        self
    }

    /// The text under which it is kept.
    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what [`BatchResult::to_text`] wrote.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] for another text.
    pub(super) fn from_text(text: &str) -> Result<Self, EngineError> {
        serde_json::from_str(text).map_err(|error| {
            EngineError::Unavailable(format!("the kept answer of the call is damaged: {error}"))
        })
    }
}
