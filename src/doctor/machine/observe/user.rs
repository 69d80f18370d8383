//! The user and the groups, as far as access to devices depends on them.
//!
//! The groups of a process are those of its login. A group that was given since is in
//! `/etc/group` and of no effect until the next login, which is worth telling apart from a group
//! that was never given.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::host::root::Root;

/// Who runs this.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// The super-user, for whom permissions do not matter.
    pub is_root: bool,
    /// Groups in effect, by name where one is known, else by number.
    pub groups: Vec<String>,
    /// Groups that the user was given and that are not in effect.
    pub not_yet: Vec<String>,
}

/// Names of groups by number.
pub(in crate::doctor) struct Groups(BTreeMap<u32, (String, Vec<String>)>);

impl Groups {
    /// Reads `/etc/group`.
    pub(in crate::doctor) fn read(root: &Root) -> Self {
        let text = root.read("/etc/group").unwrap_or_default();
        let groups = text.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?.to_owned();
            let number = fields.nth(1)?.parse().ok()?;
            let members = fields.next().unwrap_or_default();
            let members = members.split(',').map(str::to_owned).collect();
            Some((number, (name, members)))
        });
        Self(groups.collect())
    }

    /// The name of a group, or its number.
    pub(in crate::doctor) fn name(&self, number: u32) -> String {
        self.0
            .get(&number)
            .map_or_else(|| number.to_string(), |(name, _)| name.clone())
    }
}

impl User {
    /// Reads `/proc/self/status` and the list of users.
    pub(in crate::doctor) fn read(root: &Root, groups: &Groups) -> Self {
        let status = root.read("/proc/self/status").unwrap_or_default();
        let numbers = |key: &str| -> Vec<u32> {
            status
                .lines()
                .find_map(|line| line.strip_prefix(key))
                .unwrap_or_default()
                .split_whitespace()
                .filter_map(|word| word.parse().ok())
                .collect()
        };
        // Real, effective, saved, file system.
        let user = numbers("Uid:").get(1).copied();
        let mut effective = numbers("Groups:");
        effective.extend(numbers("Gid:").get(1));
        let name = user.and_then(|user| user_name(root, user));
        let not_yet = groups
            .0
            .iter()
            .filter(|(number, (_, members))| {
                name.as_ref().is_some_and(|name| members.contains(name))
                    && !effective.contains(number)
            })
            .map(|(_, (group, _))| group.clone())
            .collect();
        let mut effective: Vec<String> = effective.iter().map(|&n| groups.name(n)).collect();
        effective.sort();
        effective.dedup();
        Self {
            is_root: user == Some(0),
            groups: effective,
            not_yet,
        }
    }
}

fn user_name(root: &Root, user: u32) -> Option<String> {
    let text = root.read("/etc/passwd").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(user)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::root::fixture::Tree;

    #[test]
    fn groups_in_effect_and_groups_to_come() {
        let tree = Tree::new(&[
            (
                "/proc/self/status",
                "Name:\taienv\nUid:\t1000\t1000\t1000\t1000\nGid:\t1000\t1000\t1000\t1000\n\
                 Groups:\t27 44 4242 \n",
            ),
            (
                "/etc/passwd",
                "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n",
            ),
            (
                "/etc/group",
                "root:x:0:\nsudo:x:27:ada\nvideo:x:44:ada,bob\nrender:x:993:ada\nada:x:1000:\n",
            ),
        ]);
        let groups = Groups::read(&tree.root);
        let user = User::read(&tree.root, &groups);
        assert!(!user.is_root);
        assert_eq!(user.groups, ["4242", "ada", "sudo", "video"]);
        assert_eq!(user.not_yet, ["render"]);
    }

    #[test]
    fn nothing_readable_is_nobody() {
        let tree = Tree::new(&[]);
        let user = User::read(&tree.root, &Groups::read(&tree.root));
        assert_eq!(user, User::default());
    }
}
