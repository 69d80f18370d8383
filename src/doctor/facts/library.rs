//! Symbols and libraries that a loader did not find.

use super::{
    Known,
    scan::{Scan, pattern},
};

/// A symbol that was missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// As the loader wrote it.
    pub name: String,
    /// Readable, where it is a C++ name.
    pub readable: Option<String>,
    /// File name of the library that wanted it.
    pub object: Option<String>,
}

/// What a loader did not find.
#[derive(Debug, Default)]
pub struct LibraryFacts {
    /// Symbols.
    pub symbols: Vec<Known<Symbol>>,
    /// Libraries, by file name: `libcudart.so.12`, `cudnn64_9.dll`.
    pub missing: Vec<Known<String>>,
    /// CUDA libraries that are named without being missed.
    pub named: Vec<Known<String>>,
    /// Version of the GNU C library that was asked for.
    pub wanted_glibc: Option<Known<(u16, u16)>>,
}

impl LibraryFacts {
    pub(super) fn of(scan: &Scan<'_>) -> Self {
        let mut facts = Self::default();
        facts.read_symbols(scan);
        facts.read_libraries(scan);
        facts.wanted_glibc = scan.first(pattern!(r"GLIBC_([0-9])\.([0-9]{1,2})"), |found| {
            Some((found[1].parse().ok()?, found[2].parse().ok()?))
        });
        facts
    }

    fn read_symbols(&mut self, scan: &Scan<'_>) {
        let undefined = pattern!(
            r"(?i)(?:([^\s:'()/\\]+\.(?:so|dylib|pyd)[.0-9]*)[ '):]*)?(?:undefined symbol|symbol not found)[ :'`(in]*(_?[A-Za-z_][A-Za-z0-9_.@]*)"
        );
        for (found, place) in scan.all_unwrapped(undefined) {
            let name = found[2].trim_end_matches('.').to_owned();
            if self.symbols.iter().any(|known| known.value.name == name) {
                continue;
            }
            self.symbols.push(Known {
                value: Symbol {
                    readable: demangle(&name),
                    object: found.get(1).map(|m| m.as_str().to_owned()),
                    name,
                },
                quote: place.quote(),
            });
        }
    }

    fn read_libraries(&mut self, scan: &Scan<'_>) {
        let before = pattern!(
            r"(?i)\b(lib[a-z0-9_+-]+(?:\.so(?:\.[0-9]+)*|\.dylib|\.[0-9]+\.dylib)|[a-z0-9_+.-]+\.dll)[\x22'`)]*(?: |: )?(?:: )?(?:(?:is |was )?(?:not found|missing|not installed|not loadable)|which is missing|cannot open|=> not found|could not be (?:found|loaded)|is not found or cannot be loaded|not found,|\(no such file|no such file|fehlt|cannot be found|not (?:be )?found)"
        );
        let after = pattern!(
            r"(?i)(?:could not (?:load|open|locate|find)(?: the)?(?: dynamic)?(?: library| module| file)?|unable to (?:load|find|locate)(?: any of)?(?: library| dll)?|failed to (?:load|open|find)(?: library| dynamic library)?|cannot (?:load|find|open)(?: library| module)?|error loading|missing(?:_dll)?(?: library| dll)?:?|library not loaded:?|failing_dll:|no such file or directory:)[ \x22'`{(]*(?:[^\s\x22'`{}]*[/\\])?(lib[a-z0-9_+-]+\.so(?:\.[0-9]+)*|lib[a-z0-9_+.-]+\.dylib|[a-z0-9_+.-]+\.dll)"
        );
        let mut complained = Vec::new();
        for pattern in [before, after] {
            for (found, place) in scan.all_unwrapped(pattern) {
                let (name, line) = (found[1].to_lowercase(), place.line);
                // "Could not load library A. Error: B: cannot open": what is missing is B.
                let after = found.get(0).map_or("", |all| {
                    let start = line.text.find(all.as_str()).unwrap_or(0);
                    line.text.get(start + all.len()..).unwrap_or_default()
                });
                let blames_other = after
                    .trim_start_matches(['.', ' ', '\'', '"'])
                    .strip_prefix("Error: ")
                    .is_some_and(|cause| cause.starts_with("lib") && !cause.starts_with(&found[1]));
                if blames_other {
                    continue;
                }
                complained.push(line);
                if !self.missing.iter().any(|known| known.value == name) {
                    self.missing.push(Known {
                        value: name,
                        quote: place.quote(),
                    });
                }
            }
        }
        let any = pattern!(
            r"(?i)\b(?:lib)?(?:cudart|cublas(?:lt)?|cudnn)[a-z_]*(?:64_[0-9]+\.dll|\.so\.[0-9]+)"
        );
        for (found, place) in scan.all(any) {
            let name = found[0].to_lowercase();
            let missed = complained.contains(&place.line);
            if !missed && !self.named.iter().any(|known| known.value == name) {
                self.named.push(Known {
                    value: name,
                    quote: place.quote(),
                });
            }
        }
    }

    /// A missing library of CUDA's runtime, with its major version where the name tells: of CUDA
    /// for the toolkit's libraries, of cuDNN for cuDNN's.
    pub fn lacks_cuda(&self) -> Option<(&Known<String>, CudaLibrary)> {
        self.missing
            .iter()
            .find_map(|known| Some((known, CudaLibrary::of(&known.value)?)))
    }
}

/// One of CUDA's runtime libraries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CudaLibrary {
    /// cuDNN rather than the toolkit.
    pub is_cudnn: bool,
    /// Major version of CUDA or of cuDNN.
    pub major: Option<u16>,
}

impl CudaLibrary {
    /// What a file name says: `libcublas.so.12`, `cublasLt64_12.dll`, `libcudnn_ops.so.9.1.0`.
    pub fn of(file: &str) -> Option<Self> {
        let found = pattern!(
            r"(?i)^(?:lib)?(cudart|cublas(?:lt)?|cufft|curand|cusolver|cusparse|nvrtc|nvjitlink|cudnn|cupti)[a-z_-]*(?:64)?_?([0-9]*)[0-9_]*(?:\.so\.?([0-9]*)|\.dll|\.so)"
        )
        .captures(file)?;
        let library = found[1].to_lowercase();
        let is_cudnn = library == "cudnn";
        let digits = found.get(3).filter(|m| !m.as_str().is_empty());
        let digits = digits.or(found.get(2)).map_or("", |m| m.as_str());
        let number: Option<u16> = digits.parse().ok();
        let major = number.and_then(|number| match (is_cudnn, library.as_str()) {
            (true, _) => Some(number),
            // `cudart64_110.dll` is CUDA 11; these three count differently from CUDA.
            (_, "cudart") if number >= 100 => Some(number / 10),
            (_, "cufft" | "curand" | "cusolver" | "cusparse") => None,
            (_, "nvrtc") if number >= 100 => Some(number / 10),
            _ => Some(number),
        });
        Some(Self { is_cudnn, major })
    }
}

fn demangle(name: &str) -> Option<String> {
    // On macOS every symbol has one more underscore.
    let mangled = name.strip_prefix("__Z").map(|rest| format!("_Z{rest}"));
    let mangled = mangled.as_deref().unwrap_or(name);
    if !mangled.starts_with("_Z") || mangled.len() > 4_000 {
        return None;
    }
    let symbol = cpp_demangle::Symbol::new(mangled.as_bytes()).ok()?;
    symbol.demangle().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::doctor::{evidence::Evidence, text::lines_of};

    fn of(text: &str) -> LibraryFacts {
        let lines = lines_of(&Evidence::from_text(text));
        LibraryFacts::of(&Scan::new(&lines))
    }

    #[test]
    fn symbols_with_their_objects() {
        let facts = of(
            "ImportError: /x/flash_attn_2_cuda.cpython-311-x86_64-linux-gnu.so: undefined symbol: \
             _ZN3c104impl3cow11cow_deleterEPv",
        );
        let symbol = &facts.symbols[0].value;
        assert_eq!(
            symbol.readable.as_deref(),
            Some("c10::impl::cow::cow_deleter(void*)")
        );
        assert!(
            symbol
                .object
                .as_deref()
                .unwrap()
                .starts_with("flash_attn_2_cuda")
        );
        let facts = of("libcusparse.so.12: undefined symbol: __nvJitLinkAddData_12_1, version x");
        assert_eq!(facts.symbols[0].value.name, "__nvJitLinkAddData_12_1");
    }

    #[test]
    fn missing_libraries_however_it_is_said() {
        for (text, name) in [
            (
                "ImportError: libcudart.so.12: cannot open shared object file",
                "libcudart.so.12",
            ),
            (
                "Could not load dynamic library 'libcudnn.so.8'; dlerror",
                "libcudnn.so.8",
            ),
            (
                "Library libcublas.so.11 is not found or cannot be loaded",
                "libcublas.so.11",
            ),
            (
                "\"cudnn64_9.dll\" which is missing. (Error 126",
                "cudnn64_9.dll",
            ),
            ("libnvrtc.so.12 => not found", "libnvrtc.so.12"),
            (
                "Could not locate cudnn_ops_infer64_8.dll. Please make",
                "cudnn_ops_infer64_8.dll",
            ),
            (
                "Unable to load any of {libcudnn_ops.so.9.1.0, libcudnn_ops.so.9.1}",
                "libcudnn_ops.so.9.1.0",
            ),
            (
                "Error loading \"C:\\torch\\lib\\fbgemm.dll\" or one of its",
                "fbgemm.dll",
            ),
            (
                "Library cublas64_12.dll is not found or cannot be loaded",
                "cublas64_12.dll",
            ),
        ] {
            let facts = of(text);
            assert_eq!(
                facts.missing.first().map(|k| k.value.as_str()),
                Some(name),
                "{text}"
            );
        }
    }

    #[test]
    fn names_tell_their_major() {
        for (file, is_cudnn, major) in [
            ("libcublas.so.11", false, Some(11)),
            ("cudart64_110.dll", false, Some(11)),
            ("cudart64_12.dll", false, Some(12)),
            ("cublaslt64_12.dll", false, Some(12)),
            ("libcudnn_ops_infer.so.8", true, Some(8)),
            ("cudnn64_9.dll", true, Some(9)),
            ("cudnn_ops_infer64_8.dll", true, Some(8)),
            ("libnvrtc.so", false, None),
            ("libcufft.so.10", false, None),
        ] {
            let library = CudaLibrary::of(file).unwrap();
            assert_eq!(
                (library.is_cudnn, library.major),
                (is_cudnn, major),
                "{file}"
            );
        }
        assert_eq!(CudaLibrary::of("libcuda.so.1"), None);
        assert_eq!(CudaLibrary::of("libgl.so.1"), None);
    }
}
