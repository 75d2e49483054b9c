//! Rules of benchmarks that a resource satisfies. A claim of the author that a scan with the benchmark can confirm;
//! hosts neither read nor run the benchmark.

use super::values::{NotAValue, as_written, made_of, text_value};
use crate::strict;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Identifiers in the wild have up to 140 bytes.
const BYTES: usize = 200;

text_value!(
    /// The identifier of a rule of an XCCDF benchmark.
    RuleId, "xccdf-rule", "the identifier of an XCCDF rule",
    "xccdf_NAMESPACE_rule_NAME of at most 200 bytes (XCCDF 1.2, 6.2.3), such as xccdf_org.ssgproject.content_rule_sshd_disable_root_login",
    is_rule
);
as_written!(RuleId);

fn is_rule(text: &str) -> bool {
    let parts = text.strip_prefix("xccdf_").and_then(|rest| rest.split_once("_rule_"));
    text.len() <= BYTES
        && parts.is_some_and(|(namespace, name)| {
            made_of(namespace, BYTES, |c| c.is_ascii_alphanumeric(), b".-")
                && made_of(name, BYTES, |c| c.is_ascii_alphabetic() || c == b'_', b"._-")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_have_the_form_of_the_specification() {
        for good in [
            "xccdf_org.ssgproject.content_rule_sshd_disable_root_login",
            "xccdf_a_rule__1",
            "xccdf_a-b_rule_x.y",
        ] {
            assert_eq!(good.parse::<RuleId>().unwrap().as_str(), good);
        }
        let long = format!("xccdf_a_rule_{}", "x".repeat(BYTES));
        for bad in [
            "",
            "sshd_disable_root_login",
            "xccdf__rule_x",
            "xccdf_a_rule_",
            "xccdf_a_b_rule_x",
            "xccdf_a_rule_1",
            &long,
        ] {
            assert!(bad.parse::<RuleId>().is_err(), "{bad:?}");
        }
    }
}
