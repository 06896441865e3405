//! `GlideRecord` methods that build queries, run them and move over their rows (§5.2, §5.3).

use std::rc::Rc;

use rquickjs::{Result, Value};

use super::condition;
use super::crossing::{is_nullish, to_external};
use super::element_object::ElementObject;
use super::native::{Call, Method, cell_of};
use super::record_methods::{this_cell, this_record};
use crate::host::{ConditionId, ExternalValue, HostRecord};

pub(super) const METHODS: &[Method] = &[
    ("addQuery", 2, add_query),
    ("addEncodedQuery", 1, add_encoded_query),
    ("addActiveQuery", 0, add_active_query),
    ("addInactiveQuery", 0, add_inactive_query),
    ("addNullQuery", 1, add_null_query),
    ("addNotNullQuery", 1, add_not_null_query),
    ("orderBy", 1, order_by),
    ("orderByDesc", 1, order_by_desc),
    ("setLimit", 1, set_limit),
    ("chooseWindow", 2, choose_window),
    ("setNoCount", 0, accepted),
    ("setCategory", 1, accepted),
    ("setQueryReferences", 1, accepted),
    ("disableSysIdInOptimization", 0, accepted),
    ("addExtraField", 1, accepted),
    ("addDomainQuery", 1, accepted),
    ("getEncodedQuery", 0, get_encoded_query),
    ("isValidEncodedQuery", 1, is_valid_encoded_query),
    ("query", 0, query),
    ("_query", 0, query),
    ("queryNoDomain", 0, query),
    ("next", 0, next),
    ("_next", 0, next),
    ("hasNext", 0, has_next),
    ("get", 1, get),
    ("getRowCount", 0, get_row_count),
];

/// The condition object that a query method gives back.
fn condition_of<'js>(
    call: &Call<'_, 'js>,
    make: impl FnOnce(&dyn HostRecord) -> ConditionId,
) -> Result<Value<'js>> {
    let cell = this_cell(call)?;
    let record = cell.record(call.ctx())?;
    let id = make(&*record);
    call.run.check_host(call.ctx())?;
    condition::make(call.ctx(), Rc::clone(&cell), id)
}

fn add_query<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    if call.len() <= 1 {
        return add_encoded_query(call);
    }
    let (field, operator, value) = condition::term(call)?;
    condition_of(call, |record| record.add_query(&field, &operator, &value))
}

fn add_encoded_query<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let query = call.text_opt(0)?.unwrap_or_default();
    condition_of(call, |record| record.add_encoded_query(&query))
}

fn add_active_query<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    condition_of(call, |record| record.add_active_query(true))
}

fn add_inactive_query<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    condition_of(call, |record| record.add_active_query(false))
}

fn add_null_query<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let field = call.text(0)?;
    condition_of(call, |record| record.add_query(&field, "=", &ExternalValue::Null))
}

fn add_not_null_query<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let field = call.text(0)?;
    condition_of(call, |record| record.add_query(&field, "!=", &ExternalValue::Null))
}

fn order_by<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    this_record(call)?.order_by(&call.text(0)?, false);
    call.run.check_host(call.ctx())?;
    Ok(call.undefined())
}

fn order_by_desc<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    this_record(call)?.order_by(&call.text(0)?, true);
    call.run.check_host(call.ctx())?;
    Ok(call.undefined())
}

fn set_limit<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    this_record(call)?.set_limit(call.integer(0)?);
    Ok(call.undefined())
}

fn choose_window<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    this_record(call)?.choose_window(call.integer(0)?, call.integer(1)?);
    Ok(call.undefined())
}

/// A hint without visible effect.
fn accepted<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    this_record(call)?;
    Ok(call.undefined())
}

fn get_encoded_query<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    call.string(&this_record(call)?.encoded_query())
}

fn is_valid_encoded_query<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let query = call.text_opt(0)?.unwrap_or_default();
    Ok(call.bool(this_record(call)?.is_valid_encoded_query(&query)))
}

fn query<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let record = this_record(call)?;
    if call.len() >= 2 {
        let (field, operator, value) = condition::term(call)?;
        record.add_query(&field, &operator, &value);
    }
    record.query().map_err(|error| call.run.raise(call.ctx(), error))?;
    Ok(call.undefined())
}

fn next<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let moved = this_record(call)?.next();
    moved.map(|moved| call.bool(moved)).map_err(|error| call.run.raise(call.ctx(), error))
}

fn has_next<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let more = this_record(call)?.has_next();
    more.map(|more| call.bool(more)).map_err(|error| call.run.raise(call.ctx(), error))
}

fn get<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let record = this_record(call)?;
    let found = if call.len() >= 2 {
        let field = call.text(0)?;
        record.get_by(&field, &call.external(1)?)
    } else {
        let value = call.arg(0);
        if is_nil(call, &value)? {
            return Ok(call.bool(false));
        }
        record.get(&to_external(call.ctx(), call.run, &value)?)
    };
    found.map(|found| call.bool(found)).map_err(|error| call.run.raise(call.ctx(), error))
}

/// `null`, `undefined`, `''`, or a nil element.
pub(super) fn is_nil<'js>(call: &Call<'_, 'js>, value: &Value<'js>) -> Result<bool> {
    if is_nullish(value) {
        return Ok(true);
    }
    if let Some(text) = value.as_string() {
        return Ok(super::crossing::string_to_rust(text)?.is_empty());
    }
    if let Some(element) = cell_of::<ElementObject<'js>>(call.run, value) {
        let element = element.borrow();
        return Ok(element.record(call.ctx())?.is_nil(element.path));
    }
    Ok(super::coercion::loose_equals(call.ctx(), call.run, value, &call.null())?.unwrap_or(false))
}

fn get_row_count<'js>(call: &Call<'_, 'js>) -> Result<Value<'js>> {
    let count =
        this_record(call)?.row_count().map_err(|error| call.run.raise(call.ctx(), error))?;
    #[expect(clippy::cast_precision_loss, reason = "no table has 2^53 rows")]
    Ok(call.number(count as f64))
}
