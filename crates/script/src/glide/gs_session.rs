//! `gs`: user and session (§9.3), properties, events and identifiers (§9.4), times (§9.5).

use rquickjs::{Object, Result, Value};

use super::crossing::clamp_to_i64;
use super::native::{Call, Method, define_methods};
use super::record_query::is_nil;
use crate::host::{EventCall, ScheduledEventCall, UserInfo};

pub(super) const METHODS: &[Method] = &[
    ("getUserID", 0, get_user_id),
    ("userID", 0, get_user_id),
    ("getUserName", 0, get_user_name),
    ("getUserDisplayName", 0, get_user_display_name),
    ("getUser", 0, get_user),
    ("getSession", 0, get_session),
    ("hasRole", 1, has_role),
    ("isInteractive", 0, is_interactive),
    ("isLoggedIn", 0, is_logged_in),
    ("isMobile", 0, is_mobile),
    ("getProperty", 2, get_property),
    ("setProperty", 3, set_property),
    ("eventQueue", 4, event_queue),
    ("eventQueueScheduled", 5, event_queue_scheduled),
    ("generateGUID", 0, generate_guid),
    ("tableExists", 1, table_exists),
    ("nil", 1, nil),
    ("getDisplayColumn", 1, get_display_column),
    ("sleep", 1, sleep),
    ("getCurrentScopeName", 0, get_current_scope_name),
    ("getCallerScopeName", 0, get_caller_scope_name),
    ("getCurrentApplicationId", 0, get_current_scope_name),
    ("nowDateTime", 0, now_no_tz),
    ("nowNoTZ", 0, now_no_tz),
    ("daysAgo", 1, days_ago),
    ("hoursAgo", 1, hours_ago),
    ("minutesAgo", 1, minutes_ago),
    ("yesterday", 0, yesterday),
    ("lastWeek", 0, last_week),
];

const USER_METHODS: &[Method] = &[
    ("getID", 0, get_user_id),
    ("getName", 0, get_user_name),
    ("getDisplayName", 0, get_user_display_name),
    ("getFirstName", 0, get_first_name),
    ("getLastName", 0, get_last_name),
    ("getEmail", 0, get_email),
    ("hasRole", 1, has_role),
    ("getRoles", 0, get_roles),
];

const SESSION_METHODS: &[Method] = &[
    ("isInteractive", 0, is_interactive),
    ("isLoggedIn", 0, is_logged_in),
    ("getRoles", 0, get_roles_text),
];

const MINUTE_MS: f64 = 60_000.0;
const HOUR_MS: f64 = 60.0 * MINUTE_MS;
const DAY_MS: f64 = 24.0 * HOUR_MS;

fn user(call: &Call<'_, '_>) -> Result<UserInfo> {
    Ok(call.run.host(call.ctx())?.user())
}

fn get_user_id<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.string(&user(call)?.sys_id)
}

fn get_user_name<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.string(&user(call)?.user_name)
}

fn get_user_display_name<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.string(&user(call)?.display_name)
}

fn get_first_name<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.string(&user(call)?.first_name)
}

fn get_last_name<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.string(&user(call)?.last_name)
}

fn get_email<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.string(&user(call)?.email)
}

/// A list object whose text is the comma-separated one (§10).
fn get_roles<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let list = call.text_list(&user(call)?.roles)?;
    if let Some(object) = list.as_object() {
        define_methods(object, &[("toString", 0, roles_to_string)])?;
    }
    Ok(list)
}

fn roles_to_string<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let Some(array) = call.this().into_array() else { return call.string("") };
    let texts = array
        .iter::<Value<'js>>()
        .map(|item| super::crossing::to_text(call.ctx(), call.run, &item?))
        .collect::<Result<Vec<_>>>()?;
    call.string(&texts.join(","))
}

fn get_roles_text<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.string(&user(call)?.roles.join(","))
}

fn object_with<'js>(call: &Call<'_, 'js>, tag: &str, methods: &[Method]) -> Result<Value<'js>> {
    let made = Object::new(call.ctx().clone())?;
    define_methods(&made, methods)?;
    super::install::define_tag(&made, tag)?;
    Ok(made.into_value())
}

fn get_user<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    object_with(call, "GlideUser", USER_METHODS)
}

fn get_session<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    object_with(call, "GlideSession", SESSION_METHODS)
}

fn has_role<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let roles = call.text_opt(0)?.unwrap_or_default();
    Ok(call.bool(call.run.host(call.ctx())?.has_role(&roles)))
}

fn is_interactive<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Ok(call.bool(call.run.host(call.ctx())?.is_interactive()))
}

fn is_logged_in<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Ok(call.bool(user(call)?.user_name != "guest"))
}

fn is_mobile<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Ok(call.bool(false))
}

fn get_property<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    match call.run.host(call.ctx())?.property(&call.text(0)?) {
        Some(value) => call.string(&value),
        None if call.len() > 1 => Ok(call.arg(1)),
        None => Ok(call.null()),
    }
}

fn set_property<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let (name, value) = (call.text(0)?, call.text_opt(1)?.unwrap_or_default());
    let description = call.text_opt(2)?.unwrap_or_default();
    call.run
        .host(call.ctx())?
        .set_property(&name, &value, &description)
        .map(|()| call.undefined())
        .map_err(|error| call.run.raise(call.ctx(), error))
}

fn event_queue<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let name = call.text_opt(0)?.unwrap_or_default();
    let queue = call.text_opt(4)?.unwrap_or_default();
    let event = EventCall {
        name: &name,
        record: call.record_arg(1)?,
        parm1: &call.external(2)?,
        parm2: &call.external(3)?,
        queue: &queue,
    };
    call.run
        .host(call.ctx())?
        .event_queue(&event)
        .map(|()| call.undefined())
        .map_err(|error| call.run.raise(call.ctx(), error))
}

fn event_queue_scheduled<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let name = call.text_opt(0)?.unwrap_or_default();
    let event = ScheduledEventCall {
        name: &name,
        subject: &call.external(1)?,
        parm1: &call.external(2)?,
        parm2: &call.external(3)?,
        when: &call.external(4)?,
    };
    call.run
        .host(call.ctx())?
        .event_queue_scheduled(&event)
        .map(|()| call.undefined())
        .map_err(|error| call.run.raise(call.ctx(), error))
}

fn generate_guid<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.string(&call.run.host(call.ctx())?.generate_guid())
}

fn table_exists<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let table = call.text_opt(0)?.unwrap_or_default();
    Ok(call.bool(call.run.host(call.ctx())?.table_exists(&table)))
}

fn nil<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    is_nil(call, &call.arg(0)).map(|nil| call.bool(nil))
}

fn get_display_column<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.string(&call.run.host(call.ctx())?.display_column(&call.text(0)?))
}

fn sleep<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let asked = u64::try_from(call.integer(0)?).unwrap_or_default();
    // Nobody waits for a run whose time is up.
    let left = call.run.time_left().map_or(u64::MAX, |left| {
        u64::try_from(left.as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    });
    call.run
        .host(call.ctx())?
        .sleep(asked.min(left))
        .map_err(|error| call.run.raise(call.ctx(), error))?;
    call.run.check_time(call.ctx())?;
    Ok(call.undefined())
}

fn get_current_scope_name<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.string("global")
}

fn get_caller_scope_name<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    Ok(call.null())
}

/// UTC text of `ago_ms` milliseconds before now.
fn ago<'js>(call: &Call<'_, 'js>, ago_ms: f64) -> Result<Value<'js>> {
    let back = if ago_ms.is_finite() { clamp_to_i64(ago_ms) } else { 0 };
    let then = call.run.host(call.ctx())?.now().plus_millis(back.saturating_neg());
    call.string(&then.to_glide_text())
}

fn now_no_tz<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    ago(call, 0.0)
}

fn days_ago<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    ago(call, call.number_arg(0)? * DAY_MS)
}

fn hours_ago<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    ago(call, call.number_arg(0)? * HOUR_MS)
}

fn minutes_ago<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    ago(call, call.number_arg(0)? * MINUTE_MS)
}

fn yesterday<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    ago(call, DAY_MS)
}

fn last_week<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    ago(call, 7.0 * DAY_MS)
}
