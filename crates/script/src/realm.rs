//! One global object with its built-ins, and the scripts compiled in it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use rquickjs::context::EvalOptions;
use rquickjs::function::Args;
use rquickjs::{Coerced, Context, Ctx, Function, Object, Persistent, Result, Value};

use crate::compile::Prepared;
use crate::error::{self, SCRIPT_FILE};
use crate::glide;
use crate::host::RecordRef;
use crate::level::Level;
use crate::run::{Bindings, Completion, ScriptError, ScriptKind};

/// Longest text of a completion value, in bytes.
const COMPLETION_BYTES_MAX: usize = 4_096;

/// A realm.
pub(crate) struct Realm {
    hooks: Persistent<Object<'static>>,
    /// Compiled scripts, by the address of what they were compiled from, which they keep alive.
    compiled: RefCell<HashMap<usize, (Rc<Prepared>, Persistent<Function<'static>>)>>,
    context: Context,
}

/// What a run left behind.
pub(crate) struct RunResult {
    pub(crate) result: std::result::Result<Completion, ScriptError>,
    pub(crate) scratchpad: Option<String>,
}

impl Realm {
    /// A fresh realm.
    pub(crate) fn new(level: &Level) -> Result<Self> {
        let context = Context::full(&level.runtime)?;
        let hooks = context.with(|ctx| -> Result<_> {
            let hooks: Object<'_> =
                ctx.eval_with_options(include_str!("runtime.js"), options("campanile:runtime"))?;
            glide::install(&ctx, &hooks)?;
            Ok(Persistent::save(&ctx, hooks))
        })?;
        Ok(Self { hooks, compiled: RefCell::new(HashMap::new()), context })
    }

    /// Runs a script once; the caller has begun the budget.
    pub(crate) fn run(
        &self,
        level: &Level,
        kind: ScriptKind,
        prepared: &Rc<Prepared>,
        bindings: &Bindings,
        host: &Rc<dyn crate::host::Host>,
    ) -> RunResult {
        self.context.with(|ctx| {
            let mut scratchpad = None;
            let result = glide::begin(&ctx, host, level.budget.clone())
                .and_then(|()| self.call(&ctx, level, kind, prepared, bindings, &mut scratchpad));
            let result = result.map_err(|_| {
                let thrown = ctx.catch();
                error::describe(&ctx, &thrown, &|at| Some(at))
            });
            glide::end(&ctx);
            RunResult { result, scratchpad }
        })
    }

    fn call<'js>(
        &self,
        ctx: &Ctx<'js>,
        level: &Level,
        kind: ScriptKind,
        prepared: &Rc<Prepared>,
        bindings: &Bindings,
        scratchpad: &mut Option<String>,
    ) -> Result<Completion> {
        let function = self.compile(ctx, prepared)?;
        let mut args = Args::new(ctx.clone(), prepared.globals.len());
        let mut pad = None;
        for name in prepared.globals {
            match *name {
                "current" => args.push_arg(bound(ctx, bindings.current.as_ref())?)?,
                "previous" => args.push_arg(bound(ctx, bindings.previous.as_ref())?)?,
                "event" => args.push_arg(bound(ctx, bindings.event.as_ref())?)?,
                "g_scratchpad" => {
                    let value = ctx.json_parse(bindings.scratchpad.as_deref().unwrap_or("{}"))?;
                    pad = Some(value.clone());
                    args.push_arg(value)?;
                }
                _ => args.push_arg(Value::new_undefined(ctx.clone()))?,
            }
        }
        let value: Value<'js> = function.call_arg(args)?;
        while level.budget.terminated().is_none() && ctx.execute_pending_job() {}
        if let Some(reason) = level.rejections.take_first() {
            return Err(ctx.throw(reason.restore(ctx)?));
        }
        if let Some(pad) = pad.filter(|_| bindings.scratchpad.is_some()) {
            *scratchpad = ctx.json_stringify(pad)?.map(|text| text.to_string()).transpose()?;
        }
        if kind.yields_value() { self.completion(ctx, &value) } else { Ok(Completion::default()) }
    }

    fn compile<'js>(&self, ctx: &Ctx<'js>, prepared: &Rc<Prepared>) -> Result<Function<'js>> {
        let key = Rc::as_ptr(prepared) as usize;
        if let Some((_, function)) = self.compiled.borrow().get(&key) {
            return function.clone().restore(ctx);
        }
        let factory: Function<'js> =
            ctx.eval_with_options(prepared.code.as_str(), options(SCRIPT_FILE))?;
        let function: Function<'js> = factory.call((self.hooks.clone().restore(ctx)?,))?;
        let kept = Persistent::save(ctx, function.clone());
        self.compiled.borrow_mut().insert(key, (Rc::clone(prepared), kept));
        Ok(function)
    }

    /// The value judged by §3.4, except that the texts `false` and `0` are false.
    fn completion<'js>(&self, ctx: &Ctx<'js>, value: &Value<'js>) -> Result<Completion> {
        let mut text = value.get::<Coerced<String>>()?.0;
        let truthy = if value.is_object() {
            let hooks = self.hooks.clone().restore(ctx)?;
            hooks.get::<_, Function<'js>>("truth")?.call((value.clone(),))?
        } else {
            match value.as_number() {
                Some(number) => number != 0.0 && !number.is_nan(),
                None => !matches!(
                    (value.is_string(), text.as_str()),
                    (true, "" | "false" | "0") | (false, "false" | "null" | "undefined" | "0")
                ),
            }
        };
        truncate(&mut text, COMPLETION_BYTES_MAX);
        Ok(Completion {
            truthy,
            is_boolean: value.is_bool(),
            is_nullish: value.is_null() || value.is_undefined(),
            text,
        })
    }
}

fn bound<'js>(ctx: &Ctx<'js>, record: Option<&RecordRef>) -> Result<Value<'js>> {
    record
        .map_or_else(|| Ok(Value::new_null(ctx.clone())), |record| glide::wrap_record(ctx, record))
}

fn options(file: &str) -> EvalOptions {
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some(file.to_owned());
    options
}

/// Cuts at a character boundary.
fn truncate(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let mut end = bytes_max;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
}
