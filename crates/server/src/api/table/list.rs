//! `GET /api/now/table/{table}`.

use std::rc::Rc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use campanile_engine::EngineError;
use campanile_engine::records::execution::Execution;
use campanile_engine::records::projection;
use campanile_engine::records::service::{self, ListRequest};
use campanile_model::limits::TABLE_PAGE_ROWS_MAX;
use serde_json::Value;

use super::links::{Page, link_header};
use super::shape::Shape;
use crate::app::App;
use crate::errors::ApiError;
use crate::extract::caller::{Caller, accepts_json};
use crate::extract::segments::Segments;
use crate::{respond, warning};

const LIMIT_DEFAULT: u64 = 10_000;

struct Listed {
    rows: Vec<Value>,
    /// No row satisfies the query, on whatever page.
    nothing: bool,
    total: Option<u64>,
    more: bool,
    warnings: Vec<String>,
}

/// Lists rows of a table, a page at a time.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    accepts_json(&headers)?;
    let shape = Shape::of(&caller)?;
    let params = &caller.params;
    let limit = params.row_count("sysparm_limit", TABLE_PAGE_ROWS_MAX)?.unwrap_or(LIMIT_DEFAULT);
    let offset = first_row(params.number("sysparm_offset")?);
    let counted = !params.flag("sysparm_no_count");
    let fields = params.names("sysparm_fields");
    let request = ListRequest {
        table: segments.text("table"),
        query: params.get("sysparm_query").map(str::to_owned),
        name_values: params.name_values(),
        fields: None,
        // One row more tells whether a page follows when nothing is counted.
        limit: Some(if counted { limit } else { limit.saturating_add(1) }),
        offset,
        count: counted,
    };
    let session = caller.session.clone();
    let is_v1 = caller.is_v1();
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
            let warnings = warning::of_query(&page);
            let nothing = is_v1
                && page.records.is_empty()
                && matches_nothing(&execution, &request, page.total)?;
            Ok(Listed { rows, nothing, total: page.total, more, warnings })
        })
        .await?
    };
    if listed.nothing {
        let mut response = ApiError::no_record().into_response();
        warning::add(response.headers_mut(), &listed.warnings);
        return Ok(response);
    }
    let page = Page { limit, offset, total: listed.total, more: listed.more };
    let mut response = respond::result(StatusCode::OK, listed.rows);
    warning::add(response.headers_mut(), &listed.warnings);
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

/// Whether no row satisfies the query of `request`; where its page was not counted, one look at the first row tells.
fn matches_nothing(
    execution: &Rc<Execution>,
    request: &ListRequest,
    total: Option<u64>,
) -> Result<bool, EngineError> {
    if let Some(total) = total {
        return Ok(total == 0);
    }
    let first = ListRequest { limit: Some(1), offset: 0, ..request.clone() };
    Ok(service::list(execution, &first)?.records.is_empty())
}

/// Rows to leave out: a negative number is taken as 0 (rest-api §6).
fn first_row(given: Option<i64>) -> u64 {
    given.map_or(0, |number| u64::try_from(number).unwrap_or(0))
}
