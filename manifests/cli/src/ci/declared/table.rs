//! Declarations as tables (CSV, RFC 4180): ours, and those of other programs by naming their columns.

use super::args::TableArgs;
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
    /// Values of their columns, in lower case, to ours; none says nothing, and of a class leaves the row out.
    pub values: BTreeMap<(String, String), Option<String>>,
    pub class: Option<CiClass>,
    pub separator: Option<u8>,
    /// Columns that are neither ours nor mapped are left out.
    pub ignore: bool,
}

/// Stands for all values of a column that no other mapping names.
const ANY: &str = "*";

impl Reading {
    /// # Errors
    /// A mapping that names no column of ours, or no class.
    pub fn of(args: &TableArgs) -> Done<Self> {
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
        let class = args.class.as_deref().map(|text| {
            CiClass::parse(text).ok_or_else(|| {
                let all: Vec<_> = CiClass::ALL.iter().map(|class| class.as_str()).collect();
                Failure::usage(format!("{text:?} is not a class"))
                    .remedy(format!("classes are {}", all.join(", ")))
            })
        });
        let separator =
            args.separator.map(|c| u8::try_from(c).or_usage("the separator must be one ASCII character"));
        Ok(Self {
            map: args.map.iter().map(pair).collect::<Done<_>>()?,
            values: args.map_value.iter().map(|text| value(text)).collect::<Done<_>>()?,
            class: class.transpose()?,
            separator: separator.transpose()?,
            ignore: args.ignore,
        })
    }

    /// What a cell of their column says in our words; none where it says nothing.
    fn said<'a>(&'a self, theirs: &str, cell: &'a str) -> Option<&'a str> {
        let of = |value: &str| self.values.get(&(theirs.to_owned(), value.to_owned()));
        match of(&cell.to_lowercase()).or_else(|| of(ANY)) {
            Some(ours) => ours.as_deref(),
            None => Some(cell),
        }
    }
}

/// `Status.Active=in_use`: a value of one of their columns, and what it is here.
fn value(text: &str) -> Done<((String, String), Option<String>)> {
    let bad = || {
        Failure::usage(format!("{text:?} is not COLUMN.VALUE=OURS"))
            .remedy("write one like Status.Active=in_use; COLUMN.* is every other value, and - says nothing")
    };
    let (theirs, ours) = text.rsplit_once('=').ok_or_else(bad)?;
    let (column, value) = theirs.split_once('.').ok_or_else(bad)?;
    let (column, value, ours) = (column.trim(), value.trim(), ours.trim());
    if column.is_empty() || value.is_empty() || ours.is_empty() {
        return Err(bad());
    }
    let ours = (ours != "-").then(|| ours.to_owned());
    Ok(((column.to_owned(), value.to_lowercase()), ours))
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
    let theirs: BTreeSet<&str> = heads.iter().map(str::trim).collect();
    let named = reading.map.keys().chain(reading.values.keys().map(|(column, _)| column));
    if let Some(missing) = named.into_iter().find(|column| !theirs.contains(column.as_str())) {
        return Err(Failure::usage(format!("the table has no column {missing:?}"))
            .why(format!("it has {}", shorten(&theirs.into_iter().collect::<Vec<_>>().join(", ")))));
    }
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
        let mut cells: BTreeMap<&str, &str> = BTreeMap::new();
        let mut left_out = false;
        for ((ours, theirs), cell) in columns.iter().zip(&heads).zip(&row) {
            let (Some(ours), cell) = (*ours, cell.trim()) else { continue };
            match reading.said(theirs.trim(), cell) {
                _ if cell.is_empty() => {}
                Some(said) => drop(cells.insert(ours, said)),
                None => left_out |= ours == "class",
            }
        }
        if cells.is_empty() || left_out {
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
    let ours = COLUMNS.iter().find(|column| column.eq_ignore_ascii_case(head)).copied();
    if ours.is_none() && reading.ignore {
        return Ok(None);
    }
    ours.map(Some).ok_or_else(|| {
        Failure::usage(format!("the column {:?} is not one of ours", shorten(head)))
            .why(format!("ours are {}", COLUMNS.join(", ")))
            .remedy(
                "say what it fills with --map THEIRS=OURS, leave it out with --map THEIRS=-, or all such ones with --ignore",
            )
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
            let unknown =
                || format!("{text:?} is not a class; --map-value COLUMN.VALUE=CLASS says which it is");
            CiClass::parse(&text.to_ascii_lowercase()).ok_or_else(unknown)?
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
    let unknown = |e| format!("{column}: {e}; --map-value COLUMN.{cell}=OURS says what it is here");
    serde_json::from_value(plain.into()).map(Some).map_err(unknown)
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
mod tests;
