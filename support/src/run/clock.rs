//! Time as an input: the wall clock for live runs, a fixed instant for rehearsals.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Why a text is not an instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an instant ({why}); write it in UTC with seconds, as in 2026-02-13T21:42:23Z")]
pub struct ClockError {
    /// The text that was given.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

/// One instant in UTC, whole seconds. It is fixed for an execution: every artifact of one execution
/// carries the same `written_at_utc`, so two executions under the same clock give the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Timestamp);

impl Instant {
    /// Reads `2026-02-13T21:42:23Z`. Only UTC, written as `Z`, is accepted.
    ///
    /// # Errors
    /// When the text is no RFC 3339 instant or names another zone than `Z`.
    pub fn parse(text: &str) -> Result<Self, ClockError> {
        let error = |why: String| ClockError { text: text.to_owned(), why };
        if !text.ends_with('Z') {
            return Err(error("it must end in Z".to_owned()));
        }
        let stamp: Timestamp = text.parse().map_err(|e: jiff::Error| error(e.to_string()))?;
        if stamp.subsec_nanosecond() != 0 {
            return Err(error("it must be whole seconds".to_owned()));
        }
        Ok(Self(stamp))
    }

    /// The wall clock, cut to whole seconds.
    ///
    /// # Errors
    /// When the system's clock stands outside the years that can be written.
    pub fn now() -> Result<Self, ClockError> {
        Self::from_second(Timestamp::now().as_second())
    }

    /// The instant that is `second` seconds after 1970 began.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn from_second(second: i64) -> Result<Self, ClockError> {
        Timestamp::from_second(second)
            .map(Self)
            .map_err(|e| ClockError { text: second.to_string(), why: e.to_string() })
    }

    /// The instant `seconds` later.
    ///
    /// # Errors
    /// When the result cannot be written.
    pub fn plus_seconds(self, seconds: i64) -> Result<Self, ClockError> {
        Self::from_second(self.0.as_second().saturating_add(seconds))
    }

    /// `2026-02-13T21:42:23Z`, the form of `written_at_utc`.
    #[must_use]
    pub fn rfc3339(self) -> String {
        self.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// `20260213T214223Z`, the form inside execution ids and run ids.
    #[must_use]
    pub fn compact(self) -> String {
        self.0.strftime("%Y%m%dT%H%M%SZ").to_string()
    }

    /// The calendar day in UTC, `2026-02-13`.
    #[must_use]
    pub fn day(self) -> String {
        self.date().to_string()
    }

    /// The first day of the month in UTC, `2026-02-01`.
    #[must_use]
    pub fn month_start(self) -> String {
        self.date().first_of_month().to_string()
    }

    /// The day after in UTC, `2026-02-14`: the end of a window that holds the instant's own day.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn tomorrow(self) -> Result<String, ClockError> {
        match self.date().tomorrow() {
            Ok(day) => Ok(day.to_string()),
            Err(error) => Err(ClockError { text: self.rfc3339(), why: error.to_string() }),
        }
    }

    fn date(self) -> Date {
        self.0.to_zoned(TimeZone::UTC).date()
    }
}

impl Serialize for Instant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.rfc3339())
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Instant;
    use rstest::rstest;

    #[rstest]
    #[case("2026-02-13T21:42:23Z", "20260213T214223Z", "2026-02-13")]
    #[case("2024-02-29T23:59:59Z", "20240229T235959Z", "2024-02-29")]
    fn reads_and_writes_both_forms(#[case] text: &str, #[case] compact: &str, #[case] day: &str) {
        let instant = Instant::parse(text).unwrap();
        assert_eq!(instant.rfc3339(), text);
        assert_eq!(instant.compact(), compact);
        assert_eq!(instant.day(), day);
    }

    #[rstest]
    #[case("yesterday")]
    #[case("2026-02-13T21:42:23")]
    #[case("2026-02-13T21:42:23+01:00")]
    #[case("2026-02-13T21:42:23.5Z")]
    #[case("2026-02-30T21:42:23Z")]
    #[case("")]
    fn refuses_what_is_not_an_instant_in_utc(#[case] text: &str) {
        let error = Instant::parse(text).unwrap_err();
        assert!(error.to_string().contains("2026-02-13T21:42:23Z"), "{error}");
    }

    #[rstest]
    #[case("2026-02-23T17:43:07Z", "2026-02-01", "2026-02-24")]
    #[case("2024-02-28T23:59:59Z", "2024-02-01", "2024-02-29")]
    #[case("2026-12-31T00:00:00Z", "2026-12-01", "2027-01-01")]
    #[case("2026-03-01T00:00:00Z", "2026-03-01", "2026-03-02")]
    fn knows_the_month_to_date(#[case] text: &str, #[case] first: &str, #[case] tomorrow: &str) {
        let instant = Instant::parse(text).unwrap();
        assert_eq!(instant.month_start(), first);
        assert_eq!(instant.tomorrow().unwrap(), tomorrow);
    }

    #[test]
    fn goes_on_across_midnight() {
        let instant = Instant::parse("2026-12-31T23:59:59Z").unwrap();
        assert_eq!(instant.plus_seconds(1).unwrap().rfc3339(), "2027-01-01T00:00:00Z");
    }
}
