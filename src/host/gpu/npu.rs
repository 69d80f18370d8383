//! Neural processing units, as Linux lists them under `/sys/class/accel`.

use super::pci::uevent;
use crate::{
    compat::gpus,
    host::{Npu, root::Root},
};

/// Every accelerator device.
pub(super) fn detect(root: &Root) -> Vec<Npu> {
    root.list("/sys/class/accel")
        .into_iter()
        .filter(|name| name.starts_with("accel"))
        .map(|name| {
            let folder = format!("/sys/class/accel/{name}/device");
            let driver = uevent(root, &folder, "DRIVER");
            let id = uevent(root, &folder, "PCI_ID").map(|id| id.to_lowercase());
            let known = id.as_deref().and_then(gpus::npu_by_pci);
            Npu {
                name: known
                    .map(str::to_owned)
                    .unwrap_or_else(|| match driver.as_deref() {
                        Some("intel_vpu") => "Intel NPU".to_owned(),
                        Some("amdxdna") => "AMD XDNA NPU".to_owned(),
                        Some("habanalabs") => "Intel Gaudi".to_owned(),
                        _ => id.map_or(name, |id| format!("accelerator {id}")),
                    }),
                kernel_driver: driver,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::root::fixture::Tree;

    #[test]
    fn by_id_driver_or_bare_name() {
        let tree = Tree::new(&[
            (
                "/sys/class/accel/accel0/device/uevent",
                "DRIVER=intel_vpu\nPCI_CLASS=120000\nPCI_ID=8086:7D1D\n",
            ),
            (
                "/sys/class/accel/accel1/device/uevent",
                "DRIVER=amdxdna\nPCI_ID=1022:FFFF\n",
            ),
            (
                "/sys/class/accel/accel2/device/uevent",
                "DRIVER=rocket\nOF_NAME=npu\n",
            ),
        ]);
        let names: Vec<_> = detect(&tree.root)
            .into_iter()
            .map(|npu| (npu.name, npu.kernel_driver.unwrap_or_default()))
            .collect();
        assert_eq!(
            names,
            [
                ("Intel NPU (Meteor Lake)", "intel_vpu"),
                ("AMD XDNA NPU", "amdxdna"),
                ("accel2", "rocket"),
            ]
            .map(|(name, driver)| (name.to_owned(), driver.to_owned()))
        );
    }
}
