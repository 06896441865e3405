//! The `Link` header of a list (rest-api §6.2).

use crate::extract::caller::Caller;

/// Which page of how many rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    /// Rows per page.
    pub(crate) limit: u64,
    /// First row.
    pub(crate) offset: u64,
    /// All rows, when they were counted.
    pub(crate) total: Option<u64>,
    /// Another page follows.
    pub(crate) more: bool,
}

/// The header's text; `None` when there is one page only.
pub(crate) fn link_header(caller: &Caller, page: Page) -> Option<String> {
    if page.limit == 0 || (page.offset == 0 && !page.more) {
        return None;
    }
    let kept = caller.params.raw_without(&["sysparm_limit", "sysparm_offset"]);
    let address = |offset: u64, relation: &str| {
        let mut query: Vec<String> = kept.iter().map(|part| (*part).to_owned()).collect();
        query.push(format!("sysparm_limit={}", page.limit));
        query.push(format!("sysparm_offset={offset}"));
        format!("<{}{}?{}>;rel=\"{relation}\"", caller.base, caller.path, query.join("&"))
    };
    let mut links = vec![address(0, "first")];
    if page.offset > 0 {
        links.push(address(page.offset.saturating_sub(page.limit), "prev"));
    }
    if page.more {
        links.push(address(page.offset + page.limit, "next"));
    }
    if let Some(total) = page.total {
        let last = total.saturating_sub(1) / page.limit * page.limit;
        links.push(address(last, "last"));
    }
    Some(links.join(","))
}
