//! `environment.openmp`: two copies of Intel's or LLVM's OpenMP runtime in one environment.
//!
//! The second of these to start ends the program (`OMP: Error #15`). GNU's (`libgomp`) does not
//! mind company, and neither does a copy that nobody loads. It happens when MKL comes from conda
//! and torch from pip: each brings its own.

use std::path::PathBuf;

use crate::{
    doctor::{
        Cause, Fix,
        environment::{Kind, Subject},
        machine::Verdict,
    },
    types::Os,
};

/// File names of the runtimes that refuse company.
const RUNTIMES: &[&str] = &[
    "libiomp5md.dll",
    "libiomp5.so",
    "libiomp5.dylib",
    "libomp.dylib",
];

/// Judges the OpenMP runtimes.
pub fn check(subject: &Subject<'_>) -> Vec<Verdict> {
    let environment = &subject.environment;
    if environment.kind != Kind::Conda {
        return Vec::new();
    }
    // Conda's own libraries are outside the folders of packages.
    let library = match environment.os {
        Os::Windows => environment.root.join("Library").join("bin"),
        _ => environment.root.join("lib"),
    };
    let of_conda: Vec<PathBuf> = RUNTIMES
        .iter()
        .map(|name| library.join(name))
        .filter(|path| path.is_file())
        .collect();
    let of_pip: Vec<PathBuf> = RUNTIMES
        .iter()
        .flat_map(|name| subject.inventory.named(name))
        .map(|compiled| compiled.path.clone())
        .collect();
    let (Some(one), Some(other)) = (of_conda.first(), of_pip.first()) else {
        return Vec::new();
    };
    vec![
        Verdict::problem("two OpenMP runtimes that do not tolerate each other are installed")
            .cause(Cause::DuplicateOpenmp)
            .sure(0.75)
            .because(
                "conda's packages use one, packages from pip bring another. The second one to \
                 start in a program ends it (`OMP: Error #15`).",
            )
            .fix(Fix {
                text: "Take torch and NumPy from one source: all from conda, or all from pip in a \
                       virtual environment. Replacing MKL makes conda's packages do without it"
                    .to_owned(),
                command: Some(format!(
                    "conda install -p '{}' nomkl",
                    environment.root.display()
                )),
            })
            .seen(format!("`{}` and `{}`", one.display(), other.display())),
    ]
}
