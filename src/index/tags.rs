//! Wheel tags (PEP 425, 600, 656).

/// The tags and build number in a wheel's file name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelTags {}
