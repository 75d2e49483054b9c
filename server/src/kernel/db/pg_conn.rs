//! A synchronous diesel connection to PostgreSQL without libpq, made usable for `derive(MultiConnection)`.
//!
//! Delegates everything; adds only what the derive asks for and a memory of conflicts that are worth a retry.
//! Never offers user-defined SQL types: the schema uses built-in ones only.

use diesel::connection::{
    CacheSize, Connection, ConnectionSealed, Instrumentation, LoadConnection, MultiConnectionHelper,
    SimpleConnection, TransactionManager, TransactionManagerStatus,
};
use diesel::expression::QueryMetadata;
use diesel::migration::MigrationConnection;
use diesel::pg::{FailedToLookupTypeError, Pg, PgMetadataCacheKey, PgMetadataLookup, PgTypeMetadata};
use diesel::query_builder::{Query, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::TypeMetadata;
use diesel::{ConnectionResult, QueryResult};
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use std::any::Any;

type Wrapped = AsyncConnectionWrapper<AsyncPgConnection>;
type WrappedTransactions = <Wrapped as Connection>::TransactionManager;
type Lookup = <Pg as TypeMetadata>::MetadataLookup;

/// Usable only on blocking threads of the runtime it was made in.
pub struct PgConn {
    inner: Wrapped,
    seen: Seen,
}

/// What went wrong since the last look.
#[derive(Default, Clone, Copy)]
pub(super) struct Seen {
    /// Another attempt may succeed.
    pub conflict: bool,
    /// Some statement failed; PostgreSQL may then answer COMMIT with a silent rollback.
    pub failure: bool,
}

impl Seen {
    fn note<T>(&mut self, result: &QueryResult<T>) {
        if let Err(error) = result {
            self.failure = true;
            self.conflict |= is_conflict(error);
        }
    }
}

impl PgConn {
    pub(super) fn new(connection: AsyncPgConnection) -> Self {
        Self { inner: connection.into(), seen: Seen::default() }
    }

    pub(super) fn take_seen(&mut self) -> Seen {
        std::mem::take(&mut self.seen)
    }

    fn note<T>(&mut self, result: QueryResult<T>) -> QueryResult<T> {
        self.seen.note(&result);
        result
    }
}

/// The SQLSTATE of a deadlock does not get through diesel, so its text decides: English and German servers.
fn is_conflict(error: &Error) -> bool {
    match error {
        Error::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => true,
        Error::DatabaseError(DatabaseErrorKind::Unknown, info) => {
            info.message().contains("deadlock detected") || info.message().contains("Verklemmung")
        }
        _ => false,
    }
}

impl SimpleConnection for PgConn {
    fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        let result = self.inner.batch_execute(query);
        self.note(result)
    }
}

impl ConnectionSealed for PgConn {}

impl Connection for PgConn {
    type Backend = Pg;
    type TransactionManager = PgTransactions;

    fn establish(url: &str) -> ConnectionResult<Self> {
        Wrapped::establish(url).map(|inner| Self { inner, seen: Seen::default() })
    }

    fn execute_returning_count<T>(&mut self, source: &T) -> QueryResult<usize>
    where
        T: QueryFragment<Pg> + QueryId,
    {
        let result = self.inner.execute_returning_count(source);
        self.note(result)
    }

    fn transaction_state(
        &mut self,
    ) -> &mut <PgTransactions as TransactionManager<Self>>::TransactionStateData {
        self.inner.transaction_state()
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        Connection::instrumentation(&mut self.inner)
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        Connection::set_instrumentation(&mut self.inner, instrumentation);
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        Connection::set_prepared_statement_cache_size(&mut self.inner, size);
    }
}

impl LoadConnection for PgConn {
    type Cursor<'conn, 'query> = Rows<'conn, 'query>;
    type Row<'conn, 'query> = <Wrapped as LoadConnection>::Row<'conn, 'query>;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> QueryResult<Self::Cursor<'conn, 'query>>
    where
        T: Query + QueryFragment<Pg> + QueryId + 'query,
        Pg: QueryMetadata<T::SqlType>,
    {
        let loaded = LoadConnection::load(&mut self.inner, source);
        self.seen.note(&loaded);
        Ok(Rows { rows: loaded?, seen: &mut self.seen })
    }
}

/// Rows as they arrive; a failure may come with any of them.
pub struct Rows<'conn, 'query> {
    rows: <Wrapped as LoadConnection>::Cursor<'conn, 'query>,
    seen: &'conn mut Seen,
}

impl<'conn, 'query> Iterator for Rows<'conn, 'query> {
    type Item = QueryResult<<Wrapped as LoadConnection>::Row<'conn, 'query>>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.rows.next()?;
        self.seen.note(&row);
        Some(row)
    }
}

pub struct PgTransactions;

impl TransactionManager<PgConn> for PgTransactions {
    type TransactionStateData = <WrappedTransactions as TransactionManager<Wrapped>>::TransactionStateData;

    fn begin_transaction(conn: &mut PgConn) -> QueryResult<()> {
        let result = WrappedTransactions::begin_transaction(&mut conn.inner);
        conn.note(result)
    }

    fn rollback_transaction(conn: &mut PgConn) -> QueryResult<()> {
        WrappedTransactions::rollback_transaction(&mut conn.inner)
    }

    fn commit_transaction(conn: &mut PgConn) -> QueryResult<()> {
        let result = WrappedTransactions::commit_transaction(&mut conn.inner);
        conn.note(result)
    }

    fn transaction_manager_status_mut(conn: &mut PgConn) -> &mut TransactionManagerStatus {
        WrappedTransactions::transaction_manager_status_mut(&mut conn.inner)
    }

    fn is_broken_transaction_manager(conn: &mut PgConn) -> bool {
        WrappedTransactions::is_broken_transaction_manager(&mut conn.inner)
    }
}

impl MigrationConnection for PgConn {
    fn setup(&mut self) -> QueryResult<usize> {
        self.inner.setup()
    }
}

/// Stands in for the type lookup that the wrapped connection keeps to itself.
struct BuiltInTypesOnly;

impl PgMetadataLookup for BuiltInTypesOnly {
    fn lookup_type(&mut self, name: &str, schema: Option<&str>) -> PgTypeMetadata {
        let key = PgMetadataCacheKey::new(schema.map(|s| s.to_owned().into()), name.to_owned().into());
        PgTypeMetadata::from_result(Err(FailedToLookupTypeError::new(key)))
    }

    fn as_any<'a>(&mut self) -> &mut (dyn Any + 'a)
    where
        Self: 'a,
    {
        self
    }
}

impl MultiConnectionHelper for PgConn {
    // A zero-sized value: leaking it allocates nothing.
    fn to_any<'a>(_: &mut Lookup) -> &mut (dyn Any + 'a) {
        Box::leak(Box::new(BuiltInTypesOnly))
    }

    fn from_any(lookup: &mut dyn Any) -> Option<&mut Lookup> {
        lookup.downcast_mut::<BuiltInTypesOnly>().map(|lookup| lookup as &mut Lookup)
    }
}
