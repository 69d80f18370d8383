//! `aienv ps`

use std::io::Write as _;

use serde::Serialize;

use super::{Context, Outcome, output};
use crate::launch::services::{self, Running, State};

#[derive(clap::Args)]
pub struct Args {
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    service: &'a Running,
    state: State,
}

pub fn run(args: Args, context: &Context) -> Outcome {
    let running = services::running(&context.home)?;
    let states = services::states(&running)?;
    let all = running.iter().zip(states);
    if args.json {
        let all: Vec<Json> = all
            .map(|(service, state)| Json { service, state })
            .collect();
        return output::json(&all);
    }
    if running.is_empty() {
        context.progress.note("no service is running");
        return output::finish(Ok(()));
    }
    let rows: Vec<Vec<String>> = all
        .map(|(service, state)| {
            let since = service.started_at.to_zoned(jiff::tz::TimeZone::system());
            vec![
                service.instance.clone(),
                service.pid.to_string(),
                service.port.to_string(),
                state.label().to_owned(),
                since.strftime("%Y-%m-%d %H:%M").to_string(),
                service.url.clone(),
            ]
        })
        .collect();
    let table = output::table(&["SERVICE", "PID", "PORT", "STATE", "SINCE", "URL"], &rows);
    output::finish(write!(std::io::stdout(), "{table}"))
}
