//! Declarations as tables (CSV, RFC 4180): ours, and those of other programs by naming their columns.

use crate::error::{Context as _, Done, Failure};
use serde::de::DeserializeOwned;
use shared::strict::shorten;
use shared::wire::{CiClass, CiRef, Declared, Item, Relation, RelationKind};
use std::collections::{BTreeMap, BTreeSet};

/// Our columns, in the order in which they are written.
pub const COLUMNS: [&str; 15] = [
    "class",
    "name",
    "owner",
    "criticality",
    "environment",
    "confidentiality",
    "integrity",
    "availability",
    "scopes",
    "lifecycle",
    "description",
    "labels",
    "depends_on",
    "runs_on",
    "part_of",
];

/// How a foreign table is read.
#[derive(Debug, Default)]
pub struct Reading {
    /// Their column to ours; none leaves it out.
    pub map: BTreeMap<String, Option<&'static str>>,
    pub class: Option<CiClass>,
    pub separator: Option<u8>,
}

impl Reading {
    /// # Errors
    /// A mapping that names no column of ours, or no class.
    pub fn of(map: &[String], class: Option<&str>, separator: Option<char>) -> Done<Self> {
        let pair = |text: &String| {
            let bad = || {
                Failure::usage(format!("{text:?} is not THEIRS=OURS"))
                    .remedy(format!("ours are {}; - leaves a column out", COLUMNS.join(", ")))
            };
            let (theirs, ours) = text.rsplit_once('=').ok_or_else(bad)?;
            let ours = match ours {
                "-" => None,
                ours => Some(*COLUMNS.iter().find(|column| **column == ours).ok_or_else(bad)?),
            };
            Ok((theirs.trim().to_owned(), ours))
        };
        let class = class.map(|text| {
            CiClass::parse(text).ok_or_else(|| {
                let all: Vec<_> = CiClass::ALL.iter().map(|class| class.as_str()).collect();
                Failure::usage(format!("{text:?} is not a class"))
                    .remedy(format!("classes are {}", all.join(", ")))
            })
        });
        let separator =
            separator.map(|c| u8::try_from(c).or_usage("the separator must be one ASCII character"));
        Ok(Self {
            map: map.iter().map(pair).collect::<Done<_>>()?,
            class: class.transpose()?,
            separator: separator.transpose()?,
        })
    }
}

/// All rows as items; the first that cannot be read is told with its line.
pub fn read(text: &str, reading: &Reading) -> Done<Vec<Item>> {
    let text = text.trim_start_matches('\u{feff}');
    let head = text.lines().next().unwrap_or_default();
    let most = |separator: &u8| head.bytes().filter(|byte| byte == separator).count();
    let separator = reading.separator.or_else(|| [b',', b';', b'\t'].into_iter().max_by_key(most));
    let mut rows =
        csv::ReaderBuilder::new().delimiter(separator.unwrap_or(b',')).from_reader(text.as_bytes());
    let heads = rows.headers().or_usage("the table cannot be read")?.clone();
    let columns = heads.iter().map(|head| column(head.trim(), reading)).collect::<Done<Vec<_>>>()?;
    let twice = |ours: &&str| columns.iter().filter(|column| **column == Some(*ours)).count() > 1;
    if let Some(ours) = COLUMNS.iter().find(|ours| twice(ours)) {
        return Err(Failure::usage(format!("two columns of the table fill {ours}"))
            .remedy("leave one out with --map THEIRS=-"));
    }
    let mut items = Vec::new();
    for row in rows.records() {
        let row = row.or_usage("the table cannot be read")?;
        let line = row.position().map_or(0, csv::Position::line);
        let cells = columns.iter().zip(row.iter()).filter_map(|(ours, cell)| Some(((*ours)?, cell.trim())));
        let cells: BTreeMap<&str, &str> = cells.filter(|(_, cell)| !cell.is_empty()).collect();
        if cells.is_empty() {
            continue;
        }
        let present: BTreeSet<&str> = columns.iter().flatten().copied().collect();
        let item = item(&cells, &present, reading.class);
        items.push(
            item.map_err(|why| Failure::usage(format!("line {line} of the table cannot be used")).why(why))?,
        );
    }
    Ok(items)
}

fn column(head: &str, reading: &Reading) -> Done<Option<&'static str>> {
    if let Some(ours) = reading.map.get(head) {
        return Ok(*ours);
    }
    let ours = COLUMNS.iter().find(|column| column.eq_ignore_ascii_case(head));
    ours.map(|ours| Some(*ours)).ok_or_else(|| {
        Failure::usage(format!("the column {:?} is not one of ours", shorten(head)))
            .why(format!("ours are {}", COLUMNS.join(", ")))
            .remedy("say what it fills with --map THEIRS=OURS, or leave it out with --map THEIRS=-")
    })
}

fn item(
    cells: &BTreeMap<&str, &str>,
    present: &BTreeSet<&str>,
    class: Option<CiClass>,
) -> Result<Item, String> {
    let text = |column: &str| cells.get(column).map(|cell| (*cell).to_owned());
    let class = match cells.get("class") {
        Some(text) => {
            CiClass::parse(&text.to_ascii_lowercase()).ok_or_else(|| format!("{text:?} is not a class"))?
        }
        None => class.ok_or("it names no class; give one to all such rows with --class")?,
    };
    let name = cells.get("name").ok_or("it has no name")?;
    let item: CiRef = format!("{}:{name}", class.as_str()).parse().map_err(|e| format!("{e}"))?;
    let labels = text("labels").unwrap_or_default();
    let labels = labels.split_whitespace().map(|pair| {
        let (name, value) =
            pair.split_once('=').ok_or_else(|| format!("{pair:?} is not a label such as team=red"))?;
        Ok((name.to_owned(), value.to_owned()))
    });
    let declared = Declared {
        owner: text("owner"),
        criticality: word(cells, "criticality")?,
        environment: text("environment"),
        confidentiality: word(cells, "confidentiality")?,
        integrity: word(cells, "integrity")?,
        availability: word(cells, "availability")?,
        scopes: text("scopes").unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
        lifecycle: word(cells, "lifecycle")?.unwrap_or_default(),
        description: text("description"),
        labels: labels.collect::<Result<_, String>>()?,
    };
    let mut relations = BTreeSet::new();
    let kinds = RelationKind::ALL.into_iter().filter(|kind| present.contains(kind.as_str()));
    let speaks = kinds.clone().next().is_some();
    for kind in kinds {
        for to in split(cells.get(kind.as_str()).copied().unwrap_or_default()) {
            relations.insert(Relation { kind, to: to.parse().map_err(|e| format!("{e}"))? });
        }
    }
    // A table without columns for relations says nothing of them.
    Ok(Item { item, declared, relations: speaks.then_some(relations) })
}

/// One of the words of a field, however it is written: `Very high`, `very-high`, `VERY_HIGH`.
fn word<T: DeserializeOwned>(cells: &BTreeMap<&str, &str>, column: &str) -> Result<Option<T>, String> {
    let Some(cell) = cells.get(column) else { return Ok(None) };
    let plain = cell.to_ascii_lowercase().replace([' ', '-'], "_");
    serde_json::from_value(plain.into()).map(Some).map_err(|e| format!("{column}: {e}"))
}

/// `service:a service:b`; names with spaces are separated by `|`.
fn split(cell: &str) -> impl Iterator<Item = &str> {
    let by_bar = cell.contains('|');
    cell.split(move |c: char| if by_bar { c == '|' } else { c.is_whitespace() })
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// All items as a table; reading it again gives the same items.
pub fn write(items: &[Item]) -> Done<String> {
    let mut rows = csv::Writer::from_writer(Vec::new());
    let fault = "the table could not be written";
    rows.write_record(COLUMNS).or_fault(fault)?;
    for item in items {
        let declared = &item.declared;
        let joined = |parts: Vec<String>| match parts.iter().any(|part| part.contains(' ')) {
            // The bar also where there is one part: it says that the spaces belong to the name.
            true => format!("{}|", parts.join("|")),
            false => parts.join(" "),
        };
        let related = |kind: RelationKind| {
            let all = item.relations.iter().flatten().filter(|relation| relation.kind == kind);
            joined(all.map(|relation| relation.to.to_string()).collect())
        };
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        rows.write_record([
            item.item.class.as_str().to_owned(),
            item.item.name.clone(),
            text(&declared.owner),
            plain(&declared.criticality),
            text(&declared.environment),
            plain(&declared.confidentiality),
            plain(&declared.integrity),
            plain(&declared.availability),
            declared.scopes.iter().cloned().collect::<Vec<_>>().join(" "),
            plain(&Some(declared.lifecycle)),
            text(&declared.description),
            declared
                .labels
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>()
                .join(" "),
            related(RelationKind::DependsOn),
            related(RelationKind::RunsOn),
            related(RelationKind::PartOf),
        ])
        .or_fault(fault)?;
    }
    let bytes = rows.into_inner().or_fault(fault)?;
    String::from_utf8(bytes).or_fault(fault)
}

fn plain<T: serde::Serialize>(value: &Option<T>) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, map: &[&str], class: Option<&str>) -> Result<Vec<Item>, String> {
        let map: Vec<String> = map.iter().map(|&text| text.to_owned()).collect();
        let reading = Reading::of(&map, class, None).map_err(|e| e.to_string())?;
        read(text, &reading).map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = "class,name,owner,criticality,scopes,availability,labels,depends_on,runs_on\n\
                    service,Online shop,shop,High,pci nis2,Very high,team=red,software:db data:orders,\n\
                    software,db,,,,,,,host:web1\n\
                    service,portal,,,,,,service:Online shop|,\n";
        let items = told(text, &[], None).unwrap();
        assert_eq!(items.len(), 3);
        assert_eq!(items[0].relations.as_ref().unwrap().len(), 2);
        assert_eq!(items[2].relations.as_ref().unwrap().first().unwrap().to.name, "Online shop");
        let again = told(&write(&items).unwrap(), &[], None).unwrap();
        assert_eq!(again, items);
    }

    #[test]
    fn tables_of_other_programs_are_read_by_naming_their_columns() {
        let netbox = "\u{feff}Name;Status;Tenant;Site\nsw-1;Active;it;Berlin\n\n;;;\n";
        let map = ["Name=name", "Tenant=owner", "Site=environment", "Status=-"];
        let items = told(netbox, &map, Some("device")).unwrap();
        assert_eq!(items.len(), 1);
        assert_eq!(
            (items[0].item.to_string().as_str(), items[0].declared.owner.as_deref()),
            ("device:sw-1", Some("it"))
        );
        assert_eq!(items[0].relations, None, "it says nothing of relations");
    }

    #[test]
    fn what_cannot_be_used_is_told_with_its_line() {
        for (text, map, class, why) in [
            ("class,name\nservice,a\nserver,b\n", vec![], None, "line 3"),
            ("class,name\nserver,b\n", vec![], None, "\"server\" is not a class"),
            ("name\nb\n", vec![], None, "--class"),
            ("class,name\nservice,\n", vec![], None, "no name"),
            ("class,name,criticality\nservice,a,huge\n", vec![], None, "criticality"),
            ("class,name,labels\nservice,a,red\n", vec![], None, "not a label"),
            ("class,name,runs_on\nservice,a,web1\n", vec![], None, "CLASS:NAME"),
            ("class,name,Rack\nservice,a,7\n", vec![], None, "\"Rack\" is not one of ours"),
            ("class,name,Label\nservice,a,b\n", vec!["Label=name"], None, "two columns"),
            ("class,name\nservice,a,b\n", vec![], None, "cannot be read"),
            ("name\na\n", vec![], Some("server"), "\"server\" is not a class"),
            ("name\na\n", vec!["Name"], None, "THEIRS=OURS"),
            ("name\na\n", vec!["Name=nam"], None, "THEIRS=OURS"),
        ] {
            let told = told(text, &map, class).unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
        }
        assert_eq!(told("", &[], None).map(|items| items.len()), Ok(0));
    }
}
