import java.io.Serializable;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import org.apache.flink.api.common.eventtime.Watermark;
import org.apache.flink.api.common.eventtime.WatermarkGenerator;
import org.apache.flink.api.common.eventtime.WatermarkOutput;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.api.connector.sink2.WriterInitContext;
import org.apache.flink.api.java.functions.KeySelector;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.DataStreamUtils;
import org.apache.flink.streaming.api.datastream.KeyedStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.windowing.WindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.table.api.Schema;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.types.Row;
import org.apache.flink.util.Collector;

/**
 * Counts trades and sums their sizes by symbol and tumbling window of 1 second, in a cluster inside this process.
 *
 * <p>Arguments: the way, the file of trades, events between two watermarks, trades of a first job that warms the
 * machine up, and where checkpoints are taken the milliseconds from one to the next, the window in milliseconds, and the
 * directory that checkpoints go to. The last line of output is JSON: the time from the first trade read to the last row, and what came out.
 */
public final class WindowJob {
    private static final long WINDOW_MS = 1_000;

    /** Checkpoints, where they are taken. */
    private record Checkpoints(long everyMs, long windowMs, String directory) {}
    private static final int TRADE_BYTES = 32;

    private WindowJob() {}

    public static void main(String[] arguments) throws Exception {
        String way = arguments[0];
        String path = arguments[1];
        int watermark = Integer.parseInt(arguments[2]);
        long all = Files.size(Path.of(path)) / TRADE_BYTES;
        long warm = Math.min(all, Long.parseLong(arguments[3]));
        Checkpoints checkpoints =
                arguments.length < 7
                        ? null
                        : new Checkpoints(Long.parseLong(arguments[4]), Long.parseLong(arguments[5]), arguments[6]);
        if (warm > 0) {
            run(way, path, watermark, warm, checkpoints);
        }
        run(way, path, watermark, all, checkpoints);
        System.out.printf(
                "{\"elapsed_ns\": %d, \"rows\": %d, \"trades\": %d, \"hash\": %s}%n",
                Seen.lastRowAt - TradeSource.firstReadAt, Seen.rows, Seen.trades, Long.toUnsignedString(Seen.hash));
    }

    private static void run(String way, String path, int watermark, long trades, Checkpoints checkpoints)
            throws Exception {
        Seen.reset();
        Configuration configuration = new Configuration();
        if (checkpoints != null) {
            configuration.setString("state.backend.type", "rocksdb");
            configuration.setString("execution.checkpointing.incremental", "true");
            configuration.setString("execution.checkpointing.interval", checkpoints.everyMs() + " ms");
            configuration.setString("execution.checkpointing.dir", Path.of(checkpoints.directory()).toUri().toString());
        }
        long windowMs = checkpoints == null ? WINDOW_MS : checkpoints.windowMs();
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(1, configuration);
        environment.getConfig().enableObjectReuse();
        WatermarkStrategy<TradeSource.Sale> watermarks =
                WatermarkStrategy.forGenerator(context -> new EveryEvents(watermark));
        TradeSource source = new TradeSource(path, trades);
        if (way.equals("sql")) {
            // Tables know plain objects' fields only by Flink's own type.
            TypeInformation<TradeSource.Sale> type = TypeInformation.of(TradeSource.Sale.class);
            sql(environment, environment.fromSource(source, watermarks, "trades", type));
        } else {
            DataStream<TradeSource.Sale> sales =
                    environment.fromSource(source, watermarks, "trades", new TradeSource.SaleType());
            KeyedStream<TradeSource.Sale, Integer> keyed =
                    switch (way) {
                        case "keyBy" -> sales.keyBy(new BySymbol(), Types.INT);
                        case "chained" -> DataStreamUtils.reinterpretAsKeyedStream(sales, new BySymbol(), Types.INT);
                        default -> throw new IllegalArgumentException("no such way: " + way);
                    };
            keyed.window(TumblingEventTimeWindows.of(Duration.ofMillis(windowMs)))
                    .aggregate(new CountAndSum(), new ToResult(), Types.GENERIC(Sums.class), Types.GENERIC(Result.class))
                    .sinkTo(new Results());
        }
        environment.execute(way);
    }

    private static void sql(StreamExecutionEnvironment environment, DataStream<TradeSource.Sale> sales) {
        StreamTableEnvironment tables = StreamTableEnvironment.create(environment);
        tables.getConfig().setLocalTimeZone(ZoneOffset.UTC);
        tables.createTemporaryView(
                "trades",
                sales,
                Schema.newBuilder()
                        .column("symbol", "INT NOT NULL")
                        .column("size", "INT NOT NULL")
                        .columnByMetadata("rowtime", "TIMESTAMP_LTZ(3)")
                        .watermark("rowtime", "SOURCE_WATERMARK()")
                        .build());
        tables.toDataStream(
                        tables.sqlQuery(
                                "SELECT window_end, symbol, COUNT(*), SUM(CAST(`size` AS BIGINT))"
                                        + " FROM TUMBLE(TABLE trades, DESCRIPTOR(rowtime), INTERVAL '1' SECOND)"
                                        + " GROUP BY window_start, window_end, symbol"))
                .sinkTo(new Rows());
    }

    /** A symbol's id; each is boxed once. */
    private static final class BySymbol implements KeySelector<TradeSource.Sale, Integer> {
        private static final Integer[] BOXED = new Integer[1 << 16];

        static {
            for (int id = 0; id < BOXED.length; id++) {
                BOXED[id] = id;
            }
        }

        @Override
        public Integer getKey(TradeSource.Sale sale) {
            int id = sale.symbol;
            return id >= 0 && id < BOXED.length ? BOXED[id] : Integer.valueOf(id);
        }
    }

    /** A watermark every so many events. */
    private static final class EveryEvents implements WatermarkGenerator<TradeSource.Sale> {
        private final int every;
        private int left;

        EveryEvents(int every) {
            this.every = every;
            this.left = every;
        }

        @Override
        public void onEvent(TradeSource.Sale sale, long timestamp, WatermarkOutput output) {
            if (--left == 0) {
                left = every;
                output.emitWatermark(new Watermark(timestamp - 1));
            }
        }

        @Override
        public void onPeriodicEmit(WatermarkOutput output) {}
    }

    /** What is kept of a key's window. */
    public static final class Sums {
        public long trades;
        public long size;
    }

    private static final class CountAndSum implements AggregateFunction<TradeSource.Sale, Sums, Sums> {
        @Override
        public Sums createAccumulator() {
            return new Sums();
        }

        @Override
        public Sums add(TradeSource.Sale sale, Sums sums) {
            sums.trades++;
            sums.size += Integer.toUnsignedLong(sale.size);
            return sums;
        }

        @Override
        public Sums getResult(Sums sums) {
            return sums;
        }

        @Override
        public Sums merge(Sums into, Sums from) {
            into.trades += from.trades;
            into.size += from.size;
            return into;
        }
    }

    /** The trades of one symbol in one window. */
    public static final class Result implements Serializable {
        public long endNs;
        public int symbol;
        public long trades;
        public long size;
    }

    private static final class ToResult implements WindowFunction<Sums, Result, Integer, TimeWindow> {
        private final Result result = new Result();

        @Override
        public void apply(Integer symbol, TimeWindow window, Iterable<Sums> sums, Collector<Result> out) {
            for (Sums sum : sums) {
                result.endNs = window.getEnd() * 1_000_000L;
                result.symbol = symbol;
                result.trades = sum.trades;
                result.size = sum.size;
                out.collect(result);
            }
        }
    }

    /** What came out of the last job; written by the sink's only thread. */
    private static final class Seen {
        static volatile long rows;
        static volatile long trades;
        static volatile long hash;
        static volatile long lastRowAt;

        static void reset() {
            rows = 0;
            trades = 0;
            hash = 0;
            lastRowAt = 0;
        }
    }

    /** Gathers what is known of rows in any order, and publishes it at the end. */
    private abstract static class Summary<T> implements SinkWriter<T> {
        private long rows;
        private long trades;
        private long hash;

        void see(long endNs, int symbol, long count, long size) {
            rows++;
            trades += count;
            hash += mix(mix(mix(mix(endNs) ^ symbol) ^ count) ^ size);
        }

        /** The last step of splitmix64, by Steele, Lea and Flood, in the public domain. */
        private static long mix(long z) {
            z += 0x9e3779b97f4a7c15L;
            z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
            z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
            return z ^ (z >>> 31);
        }

        @Override
        public void flush(boolean endOfInput) {
            if (endOfInput) {
                Seen.rows = rows;
                Seen.trades = trades;
                Seen.hash = hash;
                Seen.lastRowAt = System.nanoTime();
            }
        }

        @Override
        public void close() {}
    }

    private static final class Results implements Sink<Result> {
        @Override
        public SinkWriter<Result> createWriter(WriterInitContext context) {
            return new Summary<>() {
                @Override
                public void write(Result result, Context context) {
                    see(result.endNs, result.symbol, result.trades, result.size);
                }
            };
        }
    }

    private static final class Rows implements Sink<Row> {
        @Override
        public SinkWriter<Row> createWriter(WriterInitContext context) {
            return new Summary<>() {
                @Override
                public void write(Row row, Context context) {
                    LocalDateTime end = row.getFieldAs(0);
                    long endNs = end.toEpochSecond(ZoneOffset.UTC) * 1_000_000_000L + end.getNano();
                    see(endNs, row.<Integer>getFieldAs(1), row.<Long>getFieldAs(2), row.<Long>getFieldAs(3));
                }
            };
        }
    }
}
