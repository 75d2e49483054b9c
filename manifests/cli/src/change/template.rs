//! `assent change new --template FILE`: options of a kind of change that is made again and again, kept in a file.
//!
//! Owns the form of the file: TOML, a key for each long option of the command. Never: anything that the command line alone
//! could not say.

use super::args::NewArgs;
use crate::error::{Context as _, Done, Failure};
use crate::files;
use clap::{ArgAction, Args as _};
use shared::limits;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use toml::Value;

const OPTION: &str = "--template";
/// Options that say what one change is, and not what kind of change it is.
const NOT_IN_A_TEMPLATE: [&str; 5] = ["template", "revise", "from-revision", "like", "json"];

/// The words of the command line with those of the template before what is given beside it. An option that the command line
/// has itself is not taken from the template.
///
/// # Errors
/// The file cannot be read or says something that the command has no option for.
pub fn expanded(words: Vec<OsString>) -> Done<Vec<OsString>> {
    let Some(at) = words.windows(2).position(|pair| pair == ["change", "new"]) else { return Ok(words) };
    let (head, tail) = words.split_at(at + 2);
    let Some(file) = file(tail) else { return Ok(words) };
    let file = Path::new(file);
    let text = files::read_text(file, limits::ENVELOPE_BYTES)?;
    let given = |name: &str| tail.iter().any(|word| is_option(word, name));
    let options = options(&text, given).map_err(|failure| {
        let message = format!("{}: {}", file.display(), failure.message);
        Failure { message, ..failure }
    })?;
    Ok(head.iter().cloned().chain(options.into_iter().map(OsString::from)).chain(tail.to_vec()).collect())
}

fn file(tail: &[OsString]) -> Option<&OsStr> {
    let mut words = tail.iter();
    while let Some(word) = words.next() {
        if word == OPTION {
            return words.next().map(OsString::as_os_str);
        }
        if let Some(file) = word.to_str().and_then(|word| word.strip_prefix(OPTION)?.strip_prefix('=')) {
            return Some(OsStr::new(file));
        }
    }
    None
}

fn is_option(word: &OsStr, name: &str) -> bool {
    let option = word.to_str().and_then(|word| word.strip_prefix("--")).unwrap_or_default();
    option.split('=').next() == Some(name)
}

/// What the file says, as words of the command line.
fn options(text: &str, given: impl Fn(&str) -> bool) -> Done<Vec<String>> {
    let table: toml::Table = toml::from_str(text).or_usage("the template is not TOML")?;
    let command = NewArgs::augment_args(clap::Command::new("new"));
    let mut words = Vec::new();
    for (key, value) in &table {
        let name = key.replace('_', "-");
        let known = command.get_arguments().find(|arg| arg.get_long() == Some(&*name));
        let known = known.filter(|_| !NOT_IN_A_TEMPLATE.contains(&&*name)).ok_or_else(|| {
            Failure::usage(format!("a template has no {key}"))
                .remedy("its keys are the long options of `assent change new`: see assent change new --help")
        })?;
        if given(&name) {
            continue;
        }
        let option = format!("--{name}");
        match (known.get_action(), value) {
            (ArgAction::SetTrue, Value::Boolean(true)) => words.push(option),
            (ArgAction::SetTrue, Value::Boolean(false)) => {}
            (ArgAction::SetTrue, _) => return Err(bad(key, "it is true or false")),
            (ArgAction::Append, Value::Array(all)) => {
                for one in all {
                    words.push(option.clone());
                    words.extend(values(key, one)?);
                }
            }
            (_, Value::Array(_)) => return Err(bad(key, "it is one value")),
            (_, one) => {
                words.push(option);
                words.extend(values(key, one)?);
            }
        }
    }
    Ok(words)
}

/// One value, or those that one option takes together, such as `["role=web", "base.port=80"]`.
fn values(key: &str, value: &Value) -> Done<Vec<String>> {
    match value {
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Integer(number) => Ok(vec![number.to_string()]),
        Value::Array(all) => Ok(all.iter().map(|one| values(key, one)).collect::<Done<Vec<_>>>()?.concat()),
        Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Table(_) => {
            Err(bad(key, "it is a text in quotes, or a whole number"))
        }
    }
}

fn bad(key: &str, what: &str) -> Failure {
    Failure::usage(format!("{key} in the template is something else: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use clap::Parser as _;

    const FILE: &str = r#"
        title = "Monthly patches"
        reason = "security updates"
        manifest = ["patches@1.0.0", "base"]
        label = ["role=web"]
        param_for = [["role=web", "base.port=80"], ["web1", "base.port=81"]]
        max-fail = 2
        order = true
        downgrade = false
    "#;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    fn told(line: &str, file: &str) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.toml");
        std::fs::write(&path, file).unwrap();
        let line = line.replace("FILE", path.to_str().unwrap());
        let all = expanded(words(&line)).map_err(|failure| failure.to_string())?;
        let all: Vec<_> = all.iter().map(|word| word.to_str().unwrap()).collect();
        Ok(all.join(" ").replace(path.to_str().unwrap(), "FILE"))
    }

    #[test]
    fn a_template_stands_before_what_the_command_line_says_itself() {
        assert_eq!(
            told(
                "assent --site x change new --template FILE --title mine --label=role=db --window now..+2h",
                FILE
            )
            .unwrap(),
            "assent --site x change new --manifest patches@1.0.0 --manifest base --max-fail 2 --order --param-for role=web \
             base.port=80 --param-for web1 base.port=81 --reason security updates --template FILE --title mine \
             --label=role=db --window now..+2h"
        );
        for untouched in ["assent change list --template x", "assent change new --title x", "assent"] {
            assert_eq!(told(untouched, FILE).unwrap(), untouched);
        }
        let all = told("assent --site x change new --template=FILE --window now..+2h", FILE).unwrap();
        Cli::try_parse_from(words(&all.replace("security updates", "x").replace("Monthly patches", "x")))
            .unwrap();
    }

    #[test]
    fn what_is_no_option_or_has_another_form_is_refused_by_name() {
        for (file, why) in [
            ("titel = 'x'", "a template has no titel"),
            ("like = 'C-1'", "a template has no like"),
            ("template = 'x'", "a template has no template"),
            ("order = 'yes'", "it is true or false"),
            ("title = ['a', 'b']", "it is one value"),
            ("max_fail = 1.5", "a whole number"),
            ("title = ", "the template is not TOML"),
        ] {
            let refused = told("assent change new --template FILE", file).unwrap_err();
            assert!(refused.contains(why) && refused.contains("t.toml"), "{file}: {refused}");
        }
        let missing = expanded(words("assent change new --template /nowhere")).unwrap_err();
        assert!(missing.to_string().contains("/nowhere"), "{missing}");
        // Nothing follows: clap says so.
        assert_eq!(expanded(words("assent change new --template")).unwrap().len(), 4);
    }
}
