//! What libzypp wrote down of its work, for zypper, YaST and PackageKit alike, with the command that each began with.
//!
//! Lines (libzypp, `HistoryLog.cc`): `time|command|user@host|'zypper' 'in' 'app'|…`, `time|install|name|evr|arch|…`,
//! `time|remove |name|evr|arch|…`; a bar within a field has a backslash before it, and lines of `#` are output of rpm.
//! Never: what an upgrade took away, which is not written.

use super::Zypper;
use crate::host::packages::{Cause, Place as Read};
use crate::host::rpm::database::evr;
use crate::host::rpm::history::Deed;
use crate::host::rpm::place::Place;
use crate::host::{Fault, record};

const LOG: &str = "/var/log/zypp/history";

impl Zypper {
    /// What was written since that place.
    pub fn history(&self, place: &Place, since: Option<&Read>) -> Result<(Vec<Deed>, Read), Fault> {
        let mut cause = since.and_then(|since| since.cause.clone());
        let mut deeds = Vec::new();
        let marks = since.and_then(|since| since.record.as_deref());
        let marks =
            record::read(&place.outside(LOG), marks, &mut |line| deeds.extend(told(line, &mut cause)));
        let marks = marks.map_err(Fault::io(format!("read {LOG}")))?;
        Ok((deeds, Read { record: Some(marks), cause, ..Read::default() }))
    }
}

/// What a line says was done, as a part of the last command before it.
pub(crate) fn told(line: &str, cause: &mut Option<Cause>) -> Option<Deed> {
    if line.starts_with('#') {
        return None;
    }
    let fields = fields(line);
    let field = |number: usize| fields.get(number).map(String::as_str);
    let (when, verb) = (field(0)?, field(1)?.trim());
    if verb == "command" {
        *cause =
            Some(Cause { began: when.to_owned(), command: field(3)?.to_owned(), by: field(2)?.to_owned() });
        return None;
    }
    let went = match verb {
        "install" => false,
        "remove" => true,
        _ => return None,
    };
    Some(Deed {
        when: when.to_owned(),
        name: field(2)?.to_owned(),
        evr: evr(field(3)?).to_owned(),
        arch: field(4)?.to_owned(),
        from: None,
        went,
        cause: cause.clone(),
    })
}

fn fields(line: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (letter, all.last_mut()) {
            ('|', _) => all.push(String::new()),
            ('\\', Some(field)) => field.extend(letters.next()),
            (_, Some(field)) => field.push(letter),
            (_, None) => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_is_read_in_two_parts_keeps_its_command() {
        let root = tempfile::tempdir().unwrap();
        let place = Place::new(root.path(), false, root.path().join("own"));
        let log = root.path().join("var/log/zypp/history");
        std::fs::create_dir_all(log.parent().unwrap()).unwrap();
        let (begin, rest) = (
            "2026-11-20 17:00:00|command|root@web1|'zypper' 'up'|\n2026-11-20 17:00:01|install|a|1-1|noarch||lab||\n",
            "2026-11-20 17:00:02|install|b|1-1|noarch||lab||\n",
        );
        std::fs::write(&log, "").unwrap();
        let (_, next) = Zypper.history(&place, None).unwrap();
        let mut since = next;
        for (text, name) in [(begin.to_owned(), "a"), (format!("{begin}{rest}"), "b")] {
            std::fs::write(&log, text).unwrap();
            let (deeds, next) = Zypper.history(&place, Some(&since)).unwrap();
            let cause = deeds[0].cause.as_ref().unwrap();
            assert_eq!((deeds.len(), deeds[0].name.as_str()), (1, name));
            assert_eq!(
                (cause.command.as_str(), cause.began.as_str()),
                ("'zypper' 'up'", "2026-11-20 17:00:00")
            );
            since = next;
        }
    }

    /// Lines as libzypp's own tests have them.
    #[test]
    fn lines_of_libzypp() {
        let text = "2009-09-29 07:24:46|radd   |Image|file:/usr/src|\n\
            2009-09-29 07:25:29|install|update-test|0-2.35|noarch|root@opensuse|Image|d99de|trans\\|ID\n\
            # 2009-09-29 07:25:30 filesystem.rpm installed ok\n# Additional rpm output:\n#\n\
            2015-08-11 18:42:49|command|root@fibonacci|'/Local/a\\|b\\\\c/zypper' 'in' '-f' 'xteddy'|\n\
            2015-08-11 18:42:50|install|xteddy|0:2.2-1|x86_64||repo|7823|\n\
            2015-08-11 18:42:51|remove |xchat|2.8.6-43.13|x86_64|2848:y2base|\n\
            2015-08-11 18:42:52|patch  |patch-name|1-1|noarch|repo|moderate|security|needed|applied|\n\
            discard\\|one field\n2015-08-11 18:42:53|remove |half\n|\n\n\\";
        let mut cause = None;
        let deeds: Vec<Deed> = text.lines().filter_map(|line| told(line, &mut cause)).collect();
        let shown: Vec<String> = deeds
            .iter()
            .map(|d| {
                let command = d.cause.as_ref().map_or("-", |cause| &cause.command);
                format!("{} {} {} {} {command}", d.name, d.evr, d.arch, d.went)
            })
            .collect();
        assert_eq!(
            shown,
            [
                "update-test 0-2.35 noarch false -",
                "xteddy 2.2-1 x86_64 false '/Local/a|b\\c/zypper' 'in' '-f' 'xteddy'",
                "xchat 2.8.6-43.13 x86_64 true '/Local/a|b\\c/zypper' 'in' '-f' 'xteddy'",
            ]
        );
        let cause = cause.unwrap();
        assert_eq!((cause.began.as_str(), cause.by.as_str()), ("2015-08-11 18:42:49", "root@fibonacci"));
    }
}
