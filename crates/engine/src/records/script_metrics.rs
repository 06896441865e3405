//! Numbers of script runs, by the names of rest-api §22.

use std::sync::OnceLock;
use std::time::Duration;

use campanile_script::{ScriptError, ScriptErrorKind, ScriptKind, ScriptSource};
use metrics::Histogram;

/// The word of a kind in labels.
pub(crate) const fn word(kind: ScriptKind) -> &'static str {
    match kind {
        ScriptKind::BusinessRule => "business_rule",
        ScriptKind::BusinessRuleCondition => "business_rule_condition",
        ScriptKind::ScriptAction => "script_action",
        ScriptKind::ScriptActionCondition => "script_action_condition",
        ScriptKind::DefaultValue => "default_value",
        ScriptKind::Background => "background",
    }
}

/// One histogram a kind, looked up once: a script is run more often than anything else.
struct Seconds {
    business_rule: Histogram,
    business_rule_condition: Histogram,
    script_action: Histogram,
    script_action_condition: Histogram,
    default_value: Histogram,
    background: Histogram,
}

impl Seconds {
    fn all() -> &'static Self {
        static ALL: OnceLock<Seconds> = OnceLock::new();
        let of = |kind: ScriptKind| metrics::histogram!("campanile_script_seconds", "kind" => word(kind));
        ALL.get_or_init(|| Self {
            business_rule: of(ScriptKind::BusinessRule),
            business_rule_condition: of(ScriptKind::BusinessRuleCondition),
            script_action: of(ScriptKind::ScriptAction),
            script_action_condition: of(ScriptKind::ScriptActionCondition),
            default_value: of(ScriptKind::DefaultValue),
            background: of(ScriptKind::Background),
        })
    }

    fn of(&self, kind: ScriptKind) -> &Histogram {
        match kind {
            ScriptKind::BusinessRule => &self.business_rule,
            ScriptKind::BusinessRuleCondition => &self.business_rule_condition,
            ScriptKind::ScriptAction => &self.script_action,
            ScriptKind::ScriptActionCondition => &self.script_action_condition,
            ScriptKind::DefaultValue => &self.default_value,
            ScriptKind::Background => &self.background,
        }
    }
}

/// One run has ended.
pub(super) fn ran(source: &ScriptSource, wall: Duration, error: Option<&ScriptError>) {
    Seconds::all().of(source.kind).record(wall.as_secs_f64());
    if let Some(ScriptError { kind: ScriptErrorKind::Limit(limit), .. }) = error {
        metrics::counter!("campanile_script_limit_hits_total", "limit" => limit.word())
            .increment(1);
    }
}
