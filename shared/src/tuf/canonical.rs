//! Canonical JSON as TUF signs it (OLPC form): sorted keys, no blanks, only `"` and `\` escaped.
//!
//! No Unicode normalisation: two keys that look alike stay two keys. Fractions are refused.

use serde_json::Value;

/// A number with a fraction, an exponent, or outside 64 bits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the number {0} is not a 64-bit integer; signed metadata holds no other numbers")]
pub struct NotAnInteger(String);

/// The canonical bytes of `value`.
pub fn encode(value: &Value) -> Result<Vec<u8>, NotAnInteger> {
    let mut out = Vec::new();
    write(value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), NotAnInteger> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
        Value::Number(number) if number.is_f64() => return Err(NotAnInteger(number.to_string())),
        Value::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(key, _)| *key);
            out.push(b'{');
            for (index, (key, item)) in fields.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_text(key, out);
                out.push(b':');
                write(item, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_library_of_the_verifier_agrees_on_every_kind_of_value() {
        let value = json!({
            "b": [1, -5, u64::MAX, true, false, null],
            "a": {"quote": "\"", "slash": "\\", "line": "a\nb", "é": "e\u{301}"},
            "e\u{301}": "", "": []
        });
        let ours = encode(&value).unwrap();
        assert_eq!(ours, sigstore_tuf::canonical_json::to_canonical_bytes(&value).unwrap());
        assert_eq!(encode(&json!({"b": "x\"\\\n", "a": 1})).unwrap(), b"{\"a\":1,\"b\":\"x\\\"\\\\\n\"}");
    }

    #[test]
    fn fractions_are_refused_at_any_depth() {
        assert_eq!(encode(&json!({"a": [{"b": 1.5}]})), Err(NotAnInteger("1.5".into())));
        assert!(encode(&serde_json::from_str("18446744073709551616").unwrap()).is_err());
    }
}
