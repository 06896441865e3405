//! One global object with its built-ins, and the scripts compiled in it.
//!
//! A *sealed* realm is frozen, and runs one ordinary script after the other. An *open* realm is as the language has
//! it, and runs one script, which may alter it.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use rquickjs::context::EvalOptions;
use rquickjs::function::Args;
use rquickjs::{Coerced, Context, Ctx, Error, Function, Object, Persistent, Result, Value};

use crate::compile::Prepared;
use crate::error::{self, Position, SCRIPT_FILE};
use crate::glide;
use crate::host::{Host, RecordRef};
use crate::level::Level;
use crate::native;
use crate::rewrite::HELPERS;
use crate::run::{Bindings, Completion, ScriptError, ScriptKind};

/// Longest text of a completion value, in bytes.
const COMPLETION_BYTES_MAX: usize = 4_096;
/// Compiled scripts kept in one realm; it is thrown away when it holds more.
const COMPILED_MAX: usize = 1_024;

/// A realm.
pub(crate) struct Realm {
    hooks: Hooks,
    /// Names of the globals that were there before any script.
    global_names: HashSet<String>,
    /// Compiled scripts, by the address of what they were compiled from, which they keep alive.
    compiled: RefCell<HashMap<usize, Compiled>>,
    context: Context,
}

/// What `runtime.js` offers to the sandbox.
struct Hooks {
    bind: Kept,
    truth: Kept,
    reset: Kept,
    thrown_at: Kept,
    sweep_globals: Kept,
    known_globals: Persistent<Value<'static>>,
}

type Kept = Persistent<Function<'static>>;

#[derive(Clone)]
struct Compiled {
    function: Kept,
    /// Names of globals to delete after a run.
    assigned: Persistent<Value<'static>>,
    #[expect(dead_code, reason = "keeps the address that is the key")]
    prepared: Rc<Prepared>,
}

/// What a run left behind.
pub(crate) struct RunResult {
    pub(crate) result: std::result::Result<Completion, ScriptError>,
    pub(crate) scratchpad: Option<String>,
    /// The realm may run another script.
    pub(crate) reusable: bool,
}

impl Realm {
    /// A sealed realm.
    pub(crate) fn sealed(level: &Level) -> Result<Self> {
        Self::new(level, true)
    }

    /// An open realm, for one script.
    pub(crate) fn open(level: &Level) -> Result<Self> {
        Self::new(level, false)
    }

    fn new(level: &Level, is_sealed: bool) -> Result<Self> {
        let context = Context::full(&level.runtime)?;
        let (hooks, global_names) = context.with(|ctx| furnish(&ctx, level, is_sealed))?;
        Ok(Self { hooks, global_names, compiled: RefCell::new(HashMap::new()), context })
    }

    /// Whether the script can run in a realm that others use after it.
    pub(crate) fn suits(&self, prepared: &Prepared) -> bool {
        !prepared.alters_realm
            && !prepared.assigned.iter().any(|name| self.global_names.contains(name))
    }

    /// Runs a script once; the caller has begun the budget.
    pub(crate) fn run(
        &self,
        level: &Level,
        kind: ScriptKind,
        prepared: &Rc<Prepared>,
        bindings: &Bindings,
        host: &Rc<dyn Host>,
    ) -> RunResult {
        level.state.tainted.set(false);
        *level.state.host.borrow_mut() = Some(Rc::clone(host));
        *level.state.script.borrow_mut() = Some(Rc::clone(prepared));
        let run = self.context.with(|ctx| {
            let mut scratchpad = None;
            let result = glide::begin(&ctx, host, level.budget.clone())
                .and_then(|()| self.call(&ctx, level, kind, prepared, bindings, &mut scratchpad))
                .map_err(|failed| self.describe(&ctx, &failed, prepared));
            let reusable = self.clean_up(&ctx, prepared) && !level.state.tainted.get();
            glide::end(&ctx);
            RunResult { result, scratchpad, reusable }
        });
        *level.state.host.borrow_mut() = None;
        *level.state.script.borrow_mut() = None;
        run
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
        let function = self.compile(ctx, prepared)?.function.restore(ctx)?;
        let mut args = Args::new(ctx.clone(), prepared.globals.len());
        let mut pad = None;
        for name in &prepared.globals {
            match *name {
                "current" => args.push_arg(current(ctx, bindings.current.as_ref())?)?,
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

    fn compile<'js>(&self, ctx: &Ctx<'js>, prepared: &Rc<Prepared>) -> Result<Compiled> {
        let key = Rc::as_ptr(prepared) as usize;
        if let Some(compiled) = self.compiled.borrow().get(&key) {
            return Ok(compiled.clone());
        }
        let factory: Function<'js> =
            ctx.eval_with_options(prepared.code.as_str(), options(SCRIPT_FILE))?;
        let bind = self.hooks.bind.clone().restore(ctx)?;
        let function: Function<'js> = bind.call((HELPERS.to_vec(), factory))?;
        let assigned = rquickjs::IntoJs::into_js(prepared.assigned.clone(), ctx)?;
        let compiled = Compiled {
            function: Persistent::save(ctx, function),
            assigned: Persistent::save(ctx, assigned),
            prepared: Rc::clone(prepared),
        };
        self.compiled.borrow_mut().insert(key, compiled.clone());
        Ok(compiled)
    }

    /// The value judged by §3.4, except that the texts `false` and `0` are false.
    fn completion<'js>(&self, ctx: &Ctx<'js>, value: &Value<'js>) -> Result<Completion> {
        let truthy = if value.is_object() {
            self.hooks.truth.clone().restore(ctx)?.call((value.clone(),))?
        } else if let Some(truthy) = value.as_bool() {
            truthy
        } else if let Some(number) = value.as_number() {
            number != 0.0 && !number.is_nan()
        } else if let Some(text) = value.as_string() {
            !matches!(text.to_string()?.as_str(), "" | "false" | "0")
        } else {
            !value.is_null() && !value.is_undefined() && text_of(value)? != "0"
        };
        // A value that cannot be made a text still has its truth.
        let mut text = text_of(value).unwrap_or_else(|_| {
            ctx.catch();
            String::new()
        });
        truncate(&mut text, COMPLETION_BYTES_MAX);
        Ok(Completion {
            truthy,
            is_boolean: value.is_bool(),
            is_nullish: value.is_null() || value.is_undefined(),
            text,
        })
    }

    /// The pending exception in words; a failure of the binding itself when there is none.
    fn describe(&self, ctx: &Ctx<'_>, failed: &Error, prepared: &Prepared) -> ScriptError {
        if !failed.is_exception() {
            return error::from_engine(failed);
        }
        let thrown = ctx.catch();
        let mut error = error::describe(ctx, &thrown, &|at| prepared.place(at));
        if error.line.is_none()
            && let Some(at) = self.thrown_at(ctx, &thrown, prepared)
        {
            error.line = Some(at.line);
            error.column = Some(at.column);
        }
        error
    }

    fn thrown_at<'js>(
        &self,
        ctx: &Ctx<'js>,
        thrown: &Value<'js>,
        prepared: &Prepared,
    ) -> Option<Position> {
        let asked = self.hooks.thrown_at.clone().restore(ctx);
        let offset: f64 = asked.and_then(|asked| asked.call((thrown.clone(),))).unwrap_or(-1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an offset of a text of at most a mebibyte"
        )]
        let offset = (offset >= 0.0).then_some(offset as u32)?;
        let (line, column) = prepared.map.position_of(offset);
        Some(Position { line, column })
    }

    /// Takes away what the script left in the realm; false when the realm must not be used again.
    fn clean_up(&self, ctx: &Ctx<'_>, prepared: &Rc<Prepared>) -> bool {
        if ctx.has_exception() {
            ctx.catch();
        }
        let compiled = self.compiled.borrow().get(&(Rc::as_ptr(prepared) as usize)).cloned();
        let Some(compiled) = compiled else { return false };
        let reset = || -> Result<bool> {
            let names = compiled.assigned.restore(ctx)?;
            self.hooks.reset.clone().restore(ctx)?.call::<_, ()>((names,))?;
            if !prepared.reaches_global {
                return Ok(true);
            }
            let known = self.hooks.known_globals.clone().restore(ctx)?;
            self.hooks.sweep_globals.clone().restore(ctx)?.call((known,))
        };
        reset().unwrap_or(false) && self.compiled.borrow().len() <= COMPILED_MAX
    }
}

/// Makes the globals of a fresh context.
fn furnish(ctx: &Ctx<'_>, level: &Level, is_sealed: bool) -> Result<(Hooks, HashSet<String>)> {
    let native = native::object(ctx, &level.state)?;
    let sloppy: Function<'_> =
        ctx.eval_with_options("(o,k,v)=>{o[k]=v}", options("campanile:sloppy"))?;
    native.set("writeSloppy", sloppy)?;
    let runtime: Function<'_> =
        ctx.eval_with_options(include_str!("runtime.js"), options("campanile:runtime"))?;
    let hooks: Object<'_> = runtime.call((native.clone(),))?;
    let builtins: Function<'_> =
        ctx.eval_with_options(include_str!("builtins.js"), options("campanile:builtins"))?;
    builtins.call::<_, ()>((native, hooks.clone()))?;
    if is_sealed {
        let seal: Function<'_> =
            ctx.eval_with_options(include_str!("seal.js"), options("campanile:seal"))?;
        seal.call::<_, ()>((hooks.clone(),))?;
        hooks.get::<_, Function<'_>>("markLanguage")?.call::<_, ()>(())?;
    }
    glide::install(ctx, &hooks)?;
    hooks.get::<_, Function<'_>>("adopt")?.call::<_, ()>(())?;
    if is_sealed {
        hooks.get::<_, Function<'_>>("seal")?.call::<_, ()>(())?;
    }
    let keep = |name: &str| -> Result<Kept> {
        Ok(Persistent::save(ctx, hooks.get::<_, Function<'_>>(name)?))
    };
    let known: Value<'_> = hooks.get::<_, Function<'_>>("knownGlobals")?.call(())?;
    let names: Vec<String> = hooks.get::<_, Function<'_>>("globalNames")?.call(())?;
    let hooks = Hooks {
        bind: keep("bind")?,
        truth: keep("truth")?,
        reset: keep("reset")?,
        thrown_at: keep("thrownAt")?,
        sweep_globals: keep("sweepGlobals")?,
        known_globals: Persistent::save(ctx, known),
    };
    Ok((hooks, names.into_iter().collect()))
}

fn current<'js>(ctx: &Ctx<'js>, record: Option<&RecordRef>) -> Result<Value<'js>> {
    record
        .map_or_else(|| Ok(Value::new_null(ctx.clone())), |record| glide::wrap_current(ctx, record))
}

fn bound<'js>(ctx: &Ctx<'js>, record: Option<&RecordRef>) -> Result<Value<'js>> {
    record
        .map_or_else(|| Ok(Value::new_null(ctx.clone())), |record| glide::wrap_record(ctx, record))
}

fn text_of(value: &Value<'_>) -> Result<String> {
    if let Some(symbol) = value.as_symbol() {
        return symbol.description()?.get::<Coerced<String>>().map(|text| text.0);
    }
    value.get::<Coerced<String>>().map(|text| text.0)
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
