//! A server with people on it: who they are, and what they may do, comes in through the Table API.

use serde_json::{Value, json};

use crate::harness::{Client, Server, encode};

/// Password of everybody but `admin`.
pub(crate) const PASSWORD: &str = "Tr0ub4dor & 3";

/// A running server and its administrator.
pub(crate) struct House {
    pub(crate) server: Server,
    pub(crate) admin: Client,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::on(Server::start())
    }

    pub(crate) fn on(server: Server) -> Self {
        let admin = server.admin();
        Self { server, admin }
    }

    /// A new user with these roles, as a client.
    pub(crate) fn person(&self, user_name: &str, roles: &[&str]) -> Client {
        self.add_user(user_name, roles);
        self.server.client(user_name, PASSWORD)
    }

    /// A new user with these roles; its sys_id.
    pub(crate) fn add_user(&self, user_name: &str, roles: &[&str]) -> String {
        let user = self.insert(
            "sys_user",
            &json!({"user_name": user_name, "name": user_name, "user_password": PASSWORD}),
        );
        for role in roles {
            let role = self.id_of("sys_user_role", &format!("name={role}"));
            self.insert("sys_user_has_role", &json!({"user": user, "role": role}));
        }
        user
    }

    /// Inserts a row as the administrator; its sys_id.
    pub(crate) fn insert(&self, table: &str, values: &Value) -> String {
        let row = self.admin.post(&format!("/api/now/table/{table}"), values).result();
        text(&row, "sys_id")
    }

    /// The sys_id of the one row that matches.
    pub(crate) fn id_of(&self, table: &str, query: &str) -> String {
        let rows = self.admin.rows(table, query, "sys_id");
        assert_eq!(rows.len(), 1, "{table} {query}: {rows:?}");
        text(&rows[0], "sys_id")
    }

    /// The named fields of one row, as stored values.
    pub(crate) fn row(&self, table: &str, sys_id: &str, fields: &str) -> Value {
        let path = format!(
            "/api/now/table/{table}/{sys_id}?sysparm_exclude_reference_link=true&sysparm_fields={}",
            encode(fields)
        );
        self.admin.get(&path).result()
    }

    /// A script action on `event`.
    pub(crate) fn handler(&self, event: &str, name: &str, script: &str) -> String {
        self.insert(
            "sysevent_script_action",
            &json!({"name": name, "event_name": event, "active": "true", "script": script}),
        )
    }

    /// Sets a property.
    pub(crate) fn property(&self, name: &str, value: &str) {
        let rows = self.admin.rows("sys_properties", &format!("name={name}"), "sys_id");
        match rows.first() {
            Some(row) => {
                let path = format!("/api/now/table/sys_properties/{}", text(row, "sys_id"));
                self.admin.patch(&path, &json!({"value": value})).result();
            }
            None => {
                self.insert("sys_properties", &json!({"name": name, "value": value}));
            }
        }
    }

    /// Runs a background script for good; it must succeed.
    pub(crate) fn script(&self, script: &str) -> Value {
        let answer = self
            .admin
            .post("/api/scripts/evaluate", &json!({"script": script, "rollback": false}))
            .result();
        assert_eq!(answer["ok"], true, "{answer}");
        answer
    }

    /// Fires an event as the administrator and waits for its end.
    pub(crate) fn fired(&self, body: &Value) -> Value {
        let event = self.admin.post("/api/events?wait=60s", body);
        assert_eq!(event.status, 200, "{}", event.text);
        event.result()
    }
}

/// The text in `member`.
pub(crate) fn text(object: &Value, member: &str) -> String {
    object[member].as_str().unwrap_or_else(|| panic!("no text in {member}: {object}")).to_owned()
}

/// `error.message`, `error.detail` and `error.code` of a refusal, and its status.
pub(crate) fn refusal(answer: &crate::harness::Answer) -> (u16, String, String, String) {
    let body = answer.json();
    assert!(body.get("result").is_none(), "a refusal has no result: {body}");
    assert_eq!(body["status"], "failure", "{body}");
    assert_eq!(answer.header("content-type"), Some("application/json;charset=UTF-8"));
    let member = |name: &str| body["error"][name].as_str().unwrap_or_default().to_owned();
    (answer.status, member("code"), member("message"), member("detail"))
}
