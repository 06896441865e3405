//! One run: its value, its failure, and the next run.

use campanile_script::{LimitKind, Sandbox, ScriptErrorKind};

use crate::bare_host::{error, run, run_limited, tight_limits};

#[test]
fn sa_31_an_endless_loop_ends_near_its_limit_and_the_next_script_runs() {
    let sandbox = Sandbox::new().unwrap();
    let outcome = run_limited(&sandbox, "for(;;){}", tight_limits());
    assert_eq!(outcome.result.unwrap_err().kind, ScriptErrorKind::Limit(LimitKind::Time));
    assert!(run(&sandbox, "1").result.is_ok());
}

#[test]
fn an_uncaught_exception_has_its_class_and_message() {
    let sandbox = Sandbox::new().unwrap();
    let (kind, message) = error(&sandbox, "null.x");
    assert_eq!(kind, ScriptErrorKind::Runtime);
    assert!(message.starts_with("TypeError: "), "{message}");
}
