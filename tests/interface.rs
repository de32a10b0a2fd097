//! The traits of the public types: which can be sent to another thread, shared, compared and shown.

use std::error::Error as StdError;
use std::fmt::{Debug, Display};

use lockgate::web::{
    Cookie, FormFault, Multipart, Part, Progress, Received, Resumable, Saved, Update, Upload, UploadFault,
};
use lockgate::{
    BodyFault, Certificate, Chain, ClientAuth, ClientIdentity, Error, Event, Expiry, Feed, FeedBuilder,
    FeedLog, FieldNames, Finding, Handle, Health, HttpCredentials, Identity, IdentityFault, IdentityHealth,
    Json, Limits, ParameterFault, Problem, Published, Response, ResponseBody, Route, Router, Running, Server,
    ServerBuilder, Severity,
};

fn is_sent<T: Send + Debug>() {}
fn is_shared<T: Send + Sync + Debug>() {}
fn is_compared<T: Send + Sync + Clone + PartialEq + Debug>() {}
fn is_an_error<T: StdError + Display + Send + Sync + 'static>() {}

#[test]
fn what_a_server_is_made_of_can_be_shared_between_threads() {
    is_shared::<Certificate>();
    is_shared::<Chain>();
    is_shared::<ClientAuth>();
    is_shared::<ClientIdentity>();
    is_shared::<Feed>();
    is_shared::<FeedBuilder>();
    is_shared::<FeedLog>();
    is_shared::<Published>();
    is_shared::<Handle>();
    is_shared::<Health>();
    is_shared::<Identity>();
    is_shared::<IdentityFault>();
    is_shared::<IdentityHealth>();
    is_shared::<Router>();
    #[cfg(feature = "operations")]
    is_compared::<lockgate::RequestId>();
    is_shared::<Running>();
    is_shared::<ServerBuilder>();
    is_shared::<lockgate::web::Cors>();
    is_shared::<lockgate::web::FetchMetadata>();
    is_shared::<lockgate::web::Files>();
    is_shared::<lockgate::web::SecurityFields>();
    #[cfg(feature = "proxy")]
    {
        is_shared::<lockgate::Proxy>();
        is_shared::<lockgate::ProxyHealth>();
        is_shared::<lockgate::TargetHealth>();
        is_compared::<lockgate::AnswerTotals>();
        is_compared::<lockgate::FailureTotals>();
        is_compared::<lockgate::RefusedTotals>();
    }
    #[cfg(feature = "operations")]
    {
        is_shared::<lockgate::TicketKeys>();
        is_shared::<lockgate::Metrics>();
        is_compared::<lockgate::RouteMetrics>();
        is_compared::<lockgate::DurationMetrics>();
        is_compared::<lockgate::RefusalMetrics>();
        is_compared::<lockgate::HandshakeMetrics>();
        is_compared::<lockgate::CertificateMetrics>();
        is_compared::<lockgate::BackendMetrics>();
        is_compared::<lockgate::ProxyMetrics>();
    }
    #[cfg(feature = "compression")]
    is_shared::<lockgate::web::Compression>();
    #[cfg(feature = "websocket")]
    {
        is_shared::<lockgate::Socket>();
        is_shared::<lockgate::SocketHandshake>();
        is_shared::<lockgate::Upgrades>();
        is_sent::<lockgate::SocketBuilder>();
        is_sent::<lockgate::UpgradedStream>();
        is_compared::<lockgate::Closed>();
        is_compared::<lockgate::Message>();
        is_an_error::<lockgate::SendError>();
    }
    // A response's reader is one thread's at a time, and so is a server that is about to run.
    is_sent::<Response>();
    is_sent::<ResponseBody>();
    is_sent::<Server>();
}

#[test]
fn values_can_be_compared_and_copied() {
    is_compared::<Event>();
    is_compared::<Expiry>();
    is_compared::<FieldNames>();
    is_compared::<Finding>();
    is_compared::<HttpCredentials>();
    is_compared::<Json<u8>>();
    is_compared::<Limits>();
    is_compared::<ParameterFault>();
    is_compared::<Problem>();
    is_compared::<Route>();
    is_compared::<Severity>();
    #[cfg(feature = "tls-parameters")]
    is_compared::<lockgate::TlsParameters>();
}

#[test]
fn what_handlers_call_can_be_shown_and_its_values_sent() {
    fn is_shown<T: Debug>() {}
    is_shown::<lockgate::Next<'_>>();
    is_shown::<Multipart<'_>>();
    is_shown::<Part<'_, '_>>();
    is_shown::<Upload<'_>>();
    is_sent::<Received>();
    is_shared::<Resumable>();
    is_shared::<Update>();
    is_compared::<Cookie>();
    is_compared::<Progress>();
    is_compared::<Saved>();
    is_compared::<FormFault>();
    is_an_error::<FormFault>();
    is_an_error::<UploadFault>();
}

#[test]
fn the_error_goes_into_any_programs_own() {
    is_an_error::<Error>();
    is_an_error::<Problem>();
    is_shared::<BodyFault>();
}

#[cfg(feature = "check")]
#[test]
fn a_check_can_be_run_on_another_thread() {
    is_sent::<lockgate::check::Check>();
    is_sent::<lockgate::check::Preflight>();
    is_shared::<lockgate::check::Report>();
    is_compared::<lockgate::check::Verdict>();
}

#[cfg(feature = "scan")]
#[test]
fn a_scan_can_be_run_on_another_thread() {
    is_shared::<lockgate::scan::Scan>();
    is_shared::<lockgate::scan::Report>();
}
