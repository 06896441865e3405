//! Roles, groups and users of a pack.

use std::sync::Arc;

use campanile_model::Value;

use super::document::{Item, PackDocument, Row};
use super::rows::{Installer, Policy, Wanted};
use super::sections::{self, Section};
use crate::error::EngineError;
use crate::records::seed::stable_id;

impl Installer<'_> {
    /// Roles, groups and users, and the rows between them. Their names are known to each other, whatever their order.
    pub(super) fn install_people(&mut self, pack: &PackDocument) -> Result<(), EngineError> {
        for (section, entries) in [
            (&sections::ROLES, &pack.roles),
            (&sections::GROUPS, &pack.groups),
            (&sections::USERS, &pack.users),
        ] {
            let table = self.table(section.table)?;
            for (place, entry) in entries.iter().enumerate() {
                let (key, found) =
                    self.keyed(section, &table, entry, &format!("{}[{place}]", section.name))?;
                self.names.add(section.table, &key, &found.sys_id);
                let display = entry.text(&table.fields[table.display_field].name);
                if !display.is_empty() && display != key {
                    self.names.add(section.table, display, &found.sys_id);
                }
            }
        }
        // Rows of the sections below may be referred to by name too, and data by its handle.
        for (section, entries) in
            [(&sections::QUEUES, &pack.queues), (&sections::EVENTS, &pack.events)]
        {
            for entry in entries {
                let key = entry.text(section.key_of(section.key));
                let id = stable_id(self.pack, section.name, key);
                self.names.add(section.table, key, id.as_str());
            }
        }
        self.name_records("records", &pack.records)?;
        if self.options.demo {
            self.name_records("demo", &pack.demo)?;
        }
        for (section, entries) in [
            (&sections::ROLES, &pack.roles),
            (&sections::GROUPS, &pack.groups),
            (&sections::USERS, &pack.users),
        ] {
            self.install_section(section, entries)?;
        }
        let links = [
            (
                &sections::ROLES,
                &pack.roles,
                "contains",
                ("sys_user_role_contains", "role", "contains"),
            ),
            (&sections::GROUPS, &pack.groups, "roles", ("sys_group_has_role", "group", "role")),
            (&sections::USERS, &pack.users, "roles", ("sys_user_has_role", "user", "role")),
            (&sections::USERS, &pack.users, "groups", ("sys_user_grmember", "user", "group")),
        ];
        for (section, entries, list, link) in links {
            for (place, entry) in entries.iter().enumerate() {
                let path = format!("{}[{place}]", section.name);
                self.link(section, entry, &path, list, link)?;
            }
        }
        Ok(())
    }

    /// Rows between two others: memberships, roles.
    fn link(
        &mut self,
        section: &Section,
        entry: &Row,
        path: &str,
        list: &str,
        (table_name, from, to): (&str, &str, &str),
    ) -> Result<(), EngineError> {
        let Some(item) = entry.get(list) else { return Ok(()) };
        let dictionary = self.execution.dictionary()?;
        let table = self.table(table_name)?;
        let target = table.field(to).map(|field| field.reference.to_string()).unwrap_or_default();
        let owner_key = entry.text(section.key);
        let owner = self.names.resolve(self.execution, &dictionary, section.table, owner_key)?;
        let owner = owner.map_err(|reason| self.refuse(path, reason))?;
        for (place, name) in Item::members(item).into_iter().enumerate() {
            let path = format!("{path}.{list}[{place}]");
            let other = self.names.resolve(self.execution, &dictionary, &target, &name)?;
            let other = other.map_err(|reason| self.refuse(&path, reason))?;
            let id = stable_id(self.pack, section.name, &format!("{owner_key}/{list}/{name}"));
            let found = self.place(&table, id.as_str(), &[(from, &owner), (to, &other)])?;
            let values = [(from, owner.as_str()), (to, other.as_str())];
            self.write(Wanted {
                path,
                table: Arc::clone(&table),
                key: format!("{owner_key}: {name}"),
                place: found,
                values: values.map(|(name, id)| (Arc::from(name), Value::text(id))).to_vec(),
                journals: Vec::new(),
                policy: Policy::Definition,
            })?;
        }
        Ok(())
    }
}
