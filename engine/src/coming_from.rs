//! For those who know Flink, Kafka Streams or Polars: their words, ours, and what differs.
//!
//! # Three differences from all of them
//!
//! - **Functions get rows by reference.** [`Stream::map`], [`Stream::filter`], [`Stream::flat_map`] and
//!   [`Stream::key_by`] take closures of `&T`: a row is used where it lies. What a closure gives is a value. So write
//!   `|click| click.user`, and name the parameter's type with its `&` where a type has to be named:
//!   `|click: &Click| click.user`.
//! - **Rows are plain records**: `#[repr(C)]` structs of numbers, [`Symbol`]s and inline bytes that derive [`Event`] or
//!   [`Record`]. They are copied, never serialised, and have no nulls.
//! - **There is one order of rows**, which depends on the input alone. The same input gives the same output, row by row, at
//!   any number of workers.
//!
//! # Coming from Flink
//!
//! | Flink | Pelton | What differs |
//! |---|---|---|
//! | `StreamExecutionEnvironment` | [`Job`] | One process: there is no cluster, no job manager, and nothing to submit. |
//! | `execute`, `executeAsync` | [`Job::run`], [`Job::start`] | [`Job::inline`] runs a job on the caller's thread, event by event. |
//! | `getExecutionPlan` | [`Job::explain`] | As text, JSON or Mermaid. |
//! | parallelism | [`Options::workers`] | Of the whole job. It shows in no result. |
//! | max parallelism, key groups | [`SLOTS`] | Always 4,096. |
//! | `DataStream` | [`Stream`] | A clone is the same stream: each taker gets all rows. |
//! | `fromData`, `fromCollection` | `Vec`, array | [`Job::source`] takes them; [`VecSource`] has more choices. |
//! | `map`, `filter`, `flatMap` | [`Stream::map`], [`Stream::filter`], [`Stream::flat_map`] | Fused into one loop. |
//! | `keyBy` | [`Stream::key_by`] | [`KeyedStream`] has the keyed steps. |
//! | `union` | [`Stream::union`] | In the job's order, and not as rows happen to arrive. |
//! | `WatermarkStrategy.forBoundedOutOfOrderness` | [`Watermarks::bounded`] | The watermark is the largest time less the bound, less 1 ns; Flink's unit is 1 ms. An event that [jumps](Options::jump_max) far ahead does not move it. |
//! | `forMonotonousTimestamps` | [`Watermarks::ascending`] | What sources do by themselves. |
//! | `forGenerator`, punctuated watermarks | [`Watermarks::custom`], [`WatermarkGenerator`] | It sees each event, and there is no `onPeriodicEmit`. |
//! | watermarks of splits | [`PerPartition`] | Partitions are told by a function of the event. |
//! | `withIdleness` | [`Watermarks::idle_after`] | For feeds. |
//! | `withWatermarkAlignment` | [`Watermarks::aligned_within`] | Among the sources that share an order; there are no groups. |
//! | `SourceContext.emitWatermark` | [`Input::send_watermark`], [`Feed::watermark`] | Journaled with the events. |
//! | `TumblingEventTimeWindows`, `SlidingEventTimeWindows` | [`Tumbling`], [`Sliding`] | Sizes of any number of nanoseconds. |
//! | `CUMULATE` of SQL | [`Cumulative`] | |
//! | `EventTimeSessionWindows` | [`Session::gap`], [`Session::gap_by`] | As in Flink, windows that touch become one. |
//! | `countWindow`, `GlobalWindows` | [`CountWindow`], [`Global`] | |
//! | `windowAll` | [`Stream::window_all`] | Workers combine rows before where the aggregate allows it. |
//! | `ContinuousEventTimeTrigger`, `CountTrigger`, `PurgingTrigger` | [`Trigger::early_every`], [`Trigger::early_count`], [`Trigger::purging`] | Chained. A trigger that [only counts](Trigger::count) never fires by the watermark. |
//! | `allowedLateness` | [`WindowedStream::allowed_lateness`] | A late row is late for each window apart; each row that is allowed for has the window fire again. |
//! | `sideOutputLateData` | [`StepOutput::late`] | Always there. Rows that nobody takes are counted in the [`Report`]. |
//! | `AggregateFunction`, `ReduceFunction` | [`Aggregate`], [`fold`] | Many are [ready made](count), and a tuple of them is one. |
//! | `ProcessWindowFunction` with an aggregate | [`WindowedStream::aggregate_with`] | Gets the key, the [`Pane`] and the value. Without it a row is a [`Windowed`]. |
//! | `KeyedProcessFunction` | [`ProcessFunction`] | |
//! | `ValueState` | [`ProcessFunction::State`] | One record for each key, zeros at first. |
//! | `ListState`, `MapState` | [`ListState`], [`MapState`] | Declared in [`ProcessFunction::states`], found by [`ProcessContext::list`] and [`ProcessContext::map`]. |
//! | `StateTtlConfig` | [`ProcessFunction::time_to_live`] | In event time. |
//! | `registerEventTimeTimer`, `deleteEventTimeTimer` | [`ProcessContext::timer`], [`ProcessContext::delete_timer`] | A timer fires before the first row whose watermark has reached it, to the row. |
//! | `registerProcessingTimeTimer`, `currentProcessingTime` | [`ProcessContext::processing_timer`], [`ProcessContext::processing_time`] | Processing time is journaled as input, so that a replay of the journal sees the same. |
//! | `ContinuousProcessingTimeTrigger` | [`Trigger::early_every_processing`] | |
//! | `Collector.collect` | [`ProcessContext::emit`] | |
//! | `OutputTag`, `ctx.output` | [`ProcessContext::emit_to`] | By number: `Out` is a tuple ([`Emitted`]), and so is what the step gives. |
//! | `ProcessFunction` without a key | [`Stream::flat_map_to`], [`Emitter::emit_to`] | Fused, as `flat_map` is. A [timer](ProcessContext::timer) needs a key. |
//! | `try` and `catch` into a dead-letter output | [`Stream::try_map`] | Gives the rows and the errors, as two streams. A [`ProcessFunction`] emits a row that it cannot use to a side output. A panic ends the job. |
//! | `connect`, `KeyedCoProcessFunction` | [`KeyedStream::co_process`], [`CoProcessFunction`] | |
//! | `KeyedBroadcastProcessFunction` | [`KeyedStream::process_with_broadcast`] | |
//! | `intervalJoin`, `between` | [`KeyedStream::interval_join`], [`Interval`] | Late rows leave by outputs of their own. Inner and outer, where the DataStream has inner ones. |
//! | `FOR SYSTEM_TIME AS OF` | [`KeyedStream::as_of_join`] | With a [tolerance](AsOf::within), if asked. |
//! | `uid` | the step's name | It is the identity of the step's state. |
//! | checkpoint | [`Options::checkpoints`] | Into a directory; only what changed is written. |
//! | savepoint | [`Handle::stop_with_savepoint`] | A job goes on at any number of workers. |
//! | state schema evolution | [`CheckpointOptions::migrate`] | By a function from the old record to the new one. |
//! | `TwoPhaseCommitSinkFunction` | [`Sink::checkpoint`], [`Sink::restore`] | The position of the output is part of the checkpoint. |
//! | replaying from Kafka | the journal of [`Options::checkpoints`] | Live input is written down before it is processed; [`Input::durable`] says what need not come again. |
//! | backpressure | [`Options::ring_bytes`] | A full ring stops its sender. |
//! | metrics | [`Report`], [`Handle::report`] | [`Report::balance`] checks that no event is missing. |
//! | test harnesses | [`testing`] | An operator against a model, saved and restored at each point. |
//!
//! Not there: SQL, processing-time windows, evictors, pattern matching, window joins, asynchronous
//! I/O, connectors to other systems.
//!
//! # Coming from Kafka Streams
//!
//! | Kafka Streams | Pelton | What differs |
//! |---|---|---|
//! | `StreamsBuilder`, `Topology` | [`Job`] | |
//! | `describe` | [`Job::explain`] | |
//! | `KStream` | [`Stream`] | |
//! | `KTable` | [`ProcessFunction::State`] | [`KeyedStream::latest`] keeps one, and [`KeyedStream::enrich`] looks rows up in it. |
//! | `mapValues`, `filter`, `flatMapValues`, `peek` | [`Stream::map`], [`Stream::filter`], [`Stream::flat_map`], [`Stream::peek`] | |
//! | `split`, `merge` | [`Stream::split`], [`Stream::union`] | For rows that go to several branches, or become rows of other types, there is [`Stream::flat_map_to`]. |
//! | `ProcessingExceptionHandler`, a dead-letter queue | [`Stream::try_map`], [`ProcessContext::emit_to`] | Errors are rows of a stream, with a sink of their own. |
//! | `groupBy`, `selectKey` | [`Stream::key_by`] | Rows go to other workers through memory: there are no repartition topics. |
//! | stream time | the watermark, [`Watermarks`] | One for the whole job, and not one for each task. |
//! | `TimeWindows`, `advanceBy` | [`Tumbling`], [`Sliding`] | |
//! | `SessionWindows` | [`Session`] | |
//! | `grace` | [`Watermarks::bounded`], or [`WindowedStream::allowed_lateness`] | The first has windows fire later, the second has them fire again. |
//! | a result at each update | [`Trigger::early_count`] of 1 | By default a window fires once, when it is over. |
//! | `suppress(untilWindowCloses)`, `EmitStrategy.onWindowClose` | the default | |
//! | `reduce`, `aggregate`, `count` | [`fold`], [`Aggregate`], [`count`] | |
//! | `Processor`, `process` | [`ProcessFunction`], [`KeyedStream::process`] | |
//! | `forward` | [`ProcessContext::emit`] | |
//! | `schedule` with `STREAM_TIME` | [`ProcessContext::timer`] | Once, for one key. For `WALL_CLOCK_TIME` see [`ProcessContext::processing_timer`]. |
//! | state store | [`ProcessFunction::State`], or a [`Store`] of an [`Operator`] | |
//! | stream-table join | [`KeyedStream::as_of_join`] | By event time: a row meets the table as it was then. |
//! | `GlobalKTable` | [`KeyedStream::process_with_broadcast`] | |
//! | `num.stream.threads` | [`Options::workers`] | |
//! | changelog topics, `application.id` | [`CheckpointOptions::in_directory`] | The directory has the state and the journal. |
//! | `commit.interval.ms` | [`CheckpointOptions::every`] | |
//! | `exactly_once_v2` | [`Sink::checkpoint`] | State always is exactly once; output is where the sink can take it back. |
//! | `TopologyTestDriver` | [`Job::simulate`], [`testing`] | |
//!
//! Not there: topics, joins of tables, interactive queries.
//!
//! # Coming from Polars
//!
//! | Polars | Pelton | What differs |
//! |---|---|---|
//! | `LazyFrame` | [`Job`] | Declared, checked as a whole, then run. |
//! | `collect` | [`Job::run`] with a [`collect()`] sink | Rows leave while the job runs, so input need not end or fit in memory. |
//! | `explain` | [`Job::explain`] | |
//! | `DataFrame` | `Vec` of an [`Event`], or [`VecRows`](rows::VecRows) | Rows, not columns. [`Job::rows`] takes layouts known at run time. |
//! | `filter(pl.col(..) > 3)` | [`Stream::filter`] | A closure; [`RowStream::filter`](rows::RowStream::filter) takes the name of a column. |
//! | `select`, `with_columns` | [`Stream::map`] | |
//! | `explode` | [`Stream::flat_map`] | |
//! | `concat`, `merge_sorted` | [`Stream::union`] | Bounded sources are merged by event time. |
//! | `group_by` | [`Stream::key_by`] and [`Global`] | Groups leave when the trigger fires, or at the end. |
//! | `group_by_dynamic(every)` | [`Tumbling`] | `closed="left"`, `label="left"`: [`Windowed::window`] has both ends. |
//! | `group_by_dynamic(every, period)` | [`Sliding`] | |
//! | `offset` | [`Tumbling::offset`] | |
//! | `agg(pl.len(), ..)` | [`count`], [`sum`], [`mean`], [`min`], [`max`] | A tuple of aggregates computes several in one pass. |
//! | `n_unique`, `approx_n_unique`, `quantile` | [`count_distinct`], [`approx_count_distinct`], [`quantile`] | In states of fixed size: each says what it leaves out. |
//! | `var`, `std` | [`var_samp`], [`stddev_samp`] | With `ddof=0`: [`var_pop`], [`stddev_pop`]. |
//! | `first`, `last`, `arg_max` | [`first`], [`last`], [`arg_max`] | In the job's order. [`arg_max`] gives a value of the row and not its number. |
//! | `join_asof(by, strategy, tolerance)` | [`KeyedStream::as_of_join`] | The strategies are [backward](AsOf::backward), [forward](AsOf::forward) and [nearest](AsOf::nearest); the last two need a tolerance. |
//! | `Datetime("ns")`, `str.to_datetime` | [`Timestamp`] and its `parse` | |
//! | `Categorical` | [`Symbol`] | |
//!
//! Not there: expressions, other joins, sorting, windows around each row (`rolling`), nulls, and files of Parquet or Arrow.

// For the links above alone.
#[allow(unused_imports)]
use crate::*;
