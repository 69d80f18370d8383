//! `aienv gguf quantize`

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use aienv_engine::{
    convert::Conversion,
    gguf::{File, TensorType},
    quant::QUANTIZABLE,
    threads::Pool,
};

use super::super::{Context, Failure, Outcome, engine, output};
use crate::{error::UserError, types::human_bytes};

pub const AFTER_HELP: &str = "Matrices get the type; norms, biases, routers of experts and learned \
    positions stay as they are. The matrix that makes the scores gets at least Q6_K. Rows that are \
    not whole blocks of the type get Q8_0 or F16 instead. Best made from an F16, BF16 or F32 file: \
    what is in blocks already loses a second time.";

#[derive(clap::Args)]
pub struct Args {
    /// A model file; of a split model, any part
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The file to write
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Type of the matrices: F32, F16, BF16, Q8_0, Q6_K, Q5_K, Q4_K or Q4_0
    #[arg(long = "type", value_name = "TYPE", value_parser = parse_type)]
    ty: TensorType,
    /// Threads that compute; by default one for each core
    #[arg(long, value_name = "N", value_parser = engine::threads_parser())]
    threads: Option<u16>,
    /// Overwrite the file
    #[arg(long)]
    force: bool,
}

fn parse_type(text: &str) -> Result<TensorType, String> {
    let found = TensorType::from_name(text).filter(|ty| QUANTIZABLE.contains(ty));
    found.ok_or_else(|| {
        let possible = QUANTIZABLE.map(TensorType::name).join(", ");
        format!("`{text}` cannot be made; possible are {possible}")
    })
}

/// The result cannot be put in its place.
#[derive(Debug, thiserror::Error)]
enum PlaceError {
    /// Something is there.
    #[error("`{}` is there already", .0.display())]
    Exists(PathBuf),
    /// The system refuses.
    #[error("cannot write `{}`", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl UserError for PlaceError {
    fn code(&self) -> &'static str {
        match self {
            Self::Exists(_) => "model.exists",
            Self::Io { .. } => "model.write",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Exists(_) => Some("name another file, or overwrite it with `--force`".to_owned()),
            Self::Io { .. } => None,
        }
    }
}

pub fn run(args: &Args, context: &Context) -> Outcome {
    let file = File::open(&args.input)?;
    if file.is_at(&args.output) {
        return Err(engine::InputError::OntoModel(args.output.clone()).into());
    }
    let conversion = Conversion::new(&file, args.ty)?;
    if !args.force && args.output.symlink_metadata().is_ok() {
        return Err(PlaceError::Exists(args.output.clone()).into());
    }
    let twice = conversion.twice();
    if twice > 0 {
        output::note(
            context,
            &format!(
                "{twice} tensors are in blocks already and lose a second time; better results come \
                 from an F16, BF16 or F32 file"
            ),
        );
    }
    let pool = Pool::new(args.threads.map_or_else(engine::cores, usize::from));
    let total = file.tensors().iter().map(|tensor| tensor.bytes()).sum();
    let written = write(args, &conversion, &pool, total, context)?;
    context.progress.done(&format!(
        "wrote `{}`: {}, where `{}` has {}",
        args.output.display(),
        human_bytes(written),
        args.input.display(),
        human_bytes(file.size())
    ));
    Ok(ExitCode::SUCCESS)
}

/// Writes beside the place and renames; gives the size.
fn write(
    args: &Args,
    conversion: &Conversion<'_>,
    pool: &Pool,
    total: u64,
    context: &Context,
) -> Result<u64, Failure> {
    let failed = |source| PlaceError::Io {
        path: args.output.clone(),
        source,
    };
    let folder = match args.output.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let temporary = temporary(folder).map_err(failed)?;
    let task = context.progress.task("convert", Some(total));
    let mut before = 0;
    let mut out = io::BufWriter::new(temporary.as_file());
    conversion.write(pool, &mut out, &mut |read| {
        task.advance(read - before);
        before = read;
    })?;
    out.flush().map_err(failed)?;
    drop(out);
    temporary.as_file().sync_all().map_err(failed)?;
    let size = temporary.as_file().metadata().map_err(failed)?.len();
    let placed = match args.force {
        true => temporary.persist(&args.output),
        false => temporary.persist_noclobber(&args.output),
    };
    placed.map_err(|error| failed(error.error))?;
    Ok(size)
}

/// A file that others may read as the user's settings have it; temporary files are private.
fn temporary(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".tmp-").suffix(".gguf");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}
