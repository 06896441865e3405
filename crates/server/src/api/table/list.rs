//! `GET /api/now/table/{table}`.

use std::collections::HashMap;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use campanile_engine::records::projection;
use campanile_engine::records::service::{self, ListRequest};
use campanile_model::limits::TABLE_PAGE_ROWS_MAX;
use serde_json::Value;

use super::links::{Page, link_header};
use super::shape::Shape;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::caller::{Caller, accepts_json};
use crate::respond;

const LIMIT_DEFAULT: u64 = 10_000;

struct Listed {
    rows: Vec<Value>,
    total: Option<u64>,
    more: bool,
}

/// Lists rows of a table, a page at a time.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    accepts_json(&headers)?;
    let shape = Shape::of(&caller)?;
    let params = &caller.params;
    let limit = rows(params.number("sysparm_limit")?, LIMIT_DEFAULT).min(TABLE_PAGE_ROWS_MAX);
    let offset = rows(params.number("sysparm_offset")?, 0);
    let counted = !params.flag("sysparm_no_count");
    let fields = params.names("sysparm_fields");
    let request = ListRequest {
        table: path.get("table").cloned().unwrap_or_default(),
        query: params.get("sysparm_query").map(str::to_owned),
        name_values: params.name_values(),
        fields: None,
        // One row more tells whether a page follows when nothing is counted.
        limit: Some(if counted { limit } else { limit.saturating_add(1) }),
        offset,
        count: counted,
    };
    let session = caller.session.clone();
    let listed = {
        let shape = shape.clone();
        app.on_reader(move |worker| {
            let execution = worker.execution(session);
            let mut page = service::list(&execution, &request)?;
            let more = match page.total {
                Some(total) => offset.saturating_add(limit) < total,
                None => u64::try_from(page.records.len()).unwrap_or(u64::MAX) > limit,
            };
            page.records.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            let dictionary = worker.engine().dictionary()?;
            let rows = match dictionary.table(&request.table) {
                Some(table) => {
                    let columns = projection::columns(&dictionary, table, fields.as_deref());
                    let records = &page.records;
                    let cells =
                        projection::project(&execution, records, &columns, shape.needs_display())?;
                    cells.into_iter().map(|cells| shape.row(cells)).collect()
                }
                None => Vec::new(),
            };
            Ok(Listed { rows, total: page.total, more })
        })
        .await?
    };
    if caller.is_v1() && listed.rows.is_empty() {
        return Err(ApiError::no_record());
    }
    let page = Page { limit, offset, total: listed.total, more: listed.more };
    let mut response = respond::result(StatusCode::OK, listed.rows);
    if let Some(total) = listed.total {
        response.headers_mut().insert("x-total-count", HeaderValue::from(total));
    }
    if !params.flag("sysparm_suppress_pagination_header")
        && let Some(links) = link_header(&caller, page)
        && let Ok(value) = HeaderValue::from_str(&links)
    {
        response.headers_mut().insert(header::LINK, value);
    }
    Ok(response)
}

/// A parameter as a number of rows: negative is taken as 0.
fn rows(given: Option<i64>, default: u64) -> u64 {
    given.map_or(default, |number| u64::try_from(number).unwrap_or(0))
}
