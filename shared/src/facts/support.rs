//! Until when operating systems are supported: read from what the host has, else from a small table. Pure.

use super::{Os, Support};
use crate::time::Timestamp;

/// `ID` and beginning of `VERSION_ID` in os-release(5), last day of security support, last day of what follows it.
/// Debian and Ubuntu after distro-info-data of 2026-07 (deb LTS; Ubuntu ESM). Red Hat (end of maintenance; ELS) and SUSE
/// (general; LTSS) are not compared with a source yet: their life cycle pages count. Systems that set `SUPPORT_END`
/// themselves, such as Fedora, AlmaLinux and Rocky Linux, are not in it.
const KNOWN: &[(&str, &str, &str, Option<&str>)] = &[
    ("debian", "10", "2022-09-10", Some("2024-06-30")),
    ("debian", "11", "2024-08-14", Some("2026-08-31")),
    ("debian", "12", "2026-07-11", Some("2028-06-30")),
    ("debian", "13", "2028-08-09", Some("2030-06-30")),
    ("ubuntu", "16.04", "2021-04-30", Some("2026-04-23")),
    ("ubuntu", "18.04", "2023-05-31", Some("2028-04-26")),
    ("ubuntu", "20.04", "2025-05-29", Some("2030-04-23")),
    ("ubuntu", "22.04", "2027-06-01", Some("2032-04-21")),
    ("ubuntu", "24.04", "2029-05-31", Some("2034-04-25")),
    ("ubuntu", "26.04", "2031-05-29", Some("2036-04-23")),
    ("rhel", "7", "2024-06-30", Some("2028-06-30")),
    ("rhel", "8", "2029-05-31", Some("2032-05-31")),
    ("rhel", "9", "2032-05-31", Some("2035-05-31")),
    ("rhel", "10", "2035-05-31", Some("2038-05-31")),
    ("sles", "12.5", "2024-10-31", Some("2027-10-31")),
    ("sles", "15.4", "2023-12-31", Some("2026-12-31")),
    ("sles", "15.5", "2024-12-31", Some("2027-12-31")),
    ("sles", "15.6", "2025-12-31", Some("2028-12-31")),
    ("sles", "15.7", "2031-07-31", Some("2034-07-31")),
];

/// From the table in this program.
pub fn known_support(os: &Os) -> Option<Support> {
    let fits = |version: &str| {
        let rest = os.version.strip_prefix(version);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let (.., ends, extended) = KNOWN.iter().find(|(id, version, ..)| *id == os.id && fits(version))?;
    support(ends, *extended, "assent")
}

/// From `SUPPORT_END` of os-release(5).
pub fn of_os_release(support_end: &str) -> Option<Support> {
    support(support_end, None, "os-release")
}

/// From a table of distro-info-data (`/usr/share/distro-info/<id>.csv`), by its `eol` and what comes after.
pub fn of_distro_info(csv: &str, os: &Os) -> Option<Support> {
    let mut lines = csv.lines();
    let heads: Vec<&str> = lines.next()?.split(',').collect();
    let place = |name: &str| heads.iter().position(|head| *head == name);
    let (version, series, ends) = (place("version")?, place("series")?, place("eol")?);
    let extended = place("eol-lts").or_else(|| place("eol-esm"));
    let rows = lines.map(|line| line.split(',').collect::<Vec<&str>>());
    let row = rows.into_iter().find(|row| {
        // `24.04 LTS` is version 24.04.
        let number = row.get(version).and_then(|text| text.split(' ').next()).unwrap_or_default();
        let same = !os.version.is_empty() && number == os.version;
        same || (os.version.is_empty()
            && !os.codename.is_empty()
            && row.get(series) == Some(&os.codename.as_str()))
    })?;
    support(row.get(ends)?, extended.and_then(|at| row.get(at).copied()), "distro-info-data")
}

fn support(ends: &str, extended: Option<&str>, source: &str) -> Option<Support> {
    Some(Support { ends: end_of(ends)?, extended: extended.and_then(end_of), source: source.to_owned() })
}

/// The last second of a day, `YYYY-MM-DD`.
fn end_of(day: &str) -> Option<Timestamp> {
    format!("{day}T23:59:59Z").parse().ok()
}

impl Support {
    /// Whether security support for everybody has ended; what follows it is for some packages or some customers only.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.ends < now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(id: &str, version: &str, codename: &str) -> Os {
        Os { id: id.into(), version: version.into(), codename: codename.into(), name: String::new() }
    }

    fn days(support: Option<Support>) -> Option<(String, String)> {
        let day = |at: Timestamp| at.to_string()[..10].to_owned();
        support.map(|s| (day(s.ends), s.extended.map(day).unwrap_or_default()))
    }

    #[test]
    fn every_entry_of_the_table_is_a_date_and_only_whole_numbers_of_versions_fit() {
        for (id, version, ends, extended) in KNOWN {
            let found = days(known_support(&os(id, version, ""))).unwrap();
            assert_eq!(
                (found.0.as_str(), found.1.as_str()),
                (*ends, extended.unwrap_or_default()),
                "{id} {version}"
            );
        }
        assert!(known_support(&os("rhel", "9.4", "")).is_some());
        for (id, version) in
            [("debian", "1"), ("debian", "120"), ("debian", ""), ("rhel", "90"), ("arch", "12")]
        {
            assert_eq!(known_support(&os(id, version, "")), None, "{id} {version}");
        }
    }

    #[test]
    fn distro_info_and_os_release_are_read_and_nonsense_is_no_answer() {
        let debian = "version,codename,series,created,release,eol,eol-lts,eol-elts\n\
            12,Bookworm,bookworm,2021-08-14,2023-06-10,2026-07-11,2028-06-30,2033-06-30\n\
            14,Forky,forky,2025-08-09\n";
        let both = Some(("2026-07-11".to_owned(), "2028-06-30".to_owned()));
        assert_eq!(days(of_distro_info(debian, &os("debian", "12", ""))), both);
        assert_eq!(days(of_distro_info(debian, &os("debian", "", "bookworm"))), both);
        assert_eq!(days(of_distro_info(debian, &os("debian", "14", "forky"))), None);
        let ubuntu = "version,codename,series,created,release,eol,eol-server,eol-esm\n\
            24.04 LTS,Noble Numbat,noble,2023-10-12,2024-04-25,2029-05-31,2029-05-31,2034-04-25\n";
        let noble = Some(("2029-05-31".to_owned(), "2034-04-25".to_owned()));
        assert_eq!(days(of_distro_info(ubuntu, &os("ubuntu", "24.04", ""))), noble);
        for bad in ["", "version\n12\n", "version,series,eol\n12,bookworm,soon\n", "version,series,eol\n12\n"]
        {
            assert_eq!(of_distro_info(bad, &os("debian", "12", "")), None, "{bad}");
        }
        assert_eq!(days(of_os_release("2026-05-13")), Some(("2026-05-13".to_owned(), String::new())));
        assert_eq!(of_os_release("never"), None);
    }
}
