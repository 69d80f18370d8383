//! Wheel tags (PEP 425, 600, 656).

use crate::types::{PythonVersion, Target};

/// The tags and build number in a wheel's file name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelTags {}
impl WheelTags { /// b
pub fn build_number(&self) -> Option<u64> { None } }
/// c
pub struct CompatibleTags;
impl CompatibleTags {
    /// n
    pub fn new(_: &Target, _: PythonVersion, _: bool) -> Self { Self }
    /// p
    pub fn priority(&self, _: &WheelTags) -> Option<u32> { Some(1) }
}
