import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.eventtime.Watermark;
import org.apache.flink.api.common.eventtime.WatermarkGenerator;
import org.apache.flink.api.common.eventtime.WatermarkOutput;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.functions.MapFunction;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.runtime.minicluster.MiniCluster;
import org.apache.flink.runtime.minicluster.MiniClusterConfiguration;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.DataStreamUtils;
import org.apache.flink.streaming.api.datastream.KeyedStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.datastream.WindowedStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.ProcessFunction;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.api.windowing.assigners.EventTimeSessionWindows;
import org.apache.flink.streaming.api.windowing.assigners.GlobalWindows;
import org.apache.flink.streaming.api.windowing.assigners.SlidingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.assigners.WindowAssigner;
import org.apache.flink.streaming.api.windowing.triggers.ContinuousEventTimeTrigger;
import org.apache.flink.streaming.api.windowing.triggers.CountTrigger;
import org.apache.flink.streaming.api.windowing.triggers.EventTimeTrigger;
import org.apache.flink.streaming.api.windowing.triggers.PurgingTrigger;
import org.apache.flink.streaming.api.windowing.triggers.Trigger;
import org.apache.flink.streaming.api.windowing.triggers.TriggerResult;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.streaming.api.windowing.windows.Window;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.util.Collector;
import org.apache.flink.util.OutputTag;

/**
 * Runs the jobs of windows.py, one after the other in one cluster inside this process, and prints what comes out.
 *
 * <p>The argument is the file of jobs; its lines are told at the head of windows.py. A job is one chain of operators in
 * one thread, so that its source knows what the rows that come out are caused by.
 */
public final class WindowRules {
    private WindowRules() {}

    /** A row, and the watermark that follows it. */
    public static final class Event {
        public int step;
        public long time;
        public long key;
        public long value;
        public long gap;
        public long watermark;

        public Event() {}
    }

    /** What a window gives for a key. */
    public static final class Fired {
        public long start;
        public long end;
        public long key;
        public long rows;
        public long sum;

        public Fired() {}
    }

    /** A job as it is told. */
    private record Told(
            int number,
            String kind,
            long first,
            long second,
            long offset,
            String trigger,
            long every,
            boolean purges,
            long lateness,
            boolean ends,
            List<Event> events) {}

    /** Where the source stands: twice the number of a row, and one more when its watermark follows. */
    private static int cause;

    /** The thread of the source. */
    private static Thread source;

    private static PrintStream out;

    public static void main(String[] arguments) throws Exception {
        // Whatever else is printed is a message.
        out = System.out;
        System.setOut(System.err);
        List<Told> jobs = jobs(Path.of(arguments[0]));
        MiniClusterConfiguration one =
                new MiniClusterConfiguration.Builder().setNumTaskManagers(1).setNumSlotsPerTaskManager(1).build();
        try (MiniCluster cluster = new MiniCluster(one)) {
            cluster.start();
            for (Told job : jobs) {
                out.println("job " + job.number());
                cluster.executeJobBlocking(environment(job).getStreamGraph().getJobGraph());
            }
        }
        out.println("done");
        out.flush();
    }

    private static List<Told> jobs(Path path) throws Exception {
        List<Told> jobs = new ArrayList<>();
        for (String line : Files.readAllLines(path)) {
            String[] words = line.split(" ");
            if (words[0].equals("job")) {
                jobs.add(
                        new Told(
                                Integer.parseInt(words[1]),
                                words[2],
                                Long.parseLong(words[3]),
                                Long.parseLong(words[4]),
                                Long.parseLong(words[5]),
                                words[6],
                                Long.parseLong(words[7]),
                                words[8].equals("1"),
                                Long.parseLong(words[9]),
                                words[10].equals("1"),
                                new ArrayList<>()));
            } else {
                List<Event> events = jobs.get(jobs.size() - 1).events();
                Event event = new Event();
                event.step = events.size();
                event.time = Long.parseLong(words[1]);
                event.key = Long.parseLong(words[2]);
                event.value = Long.parseLong(words[3]);
                event.gap = Long.parseLong(words[4]);
                event.watermark = Long.parseLong(words[5]);
                events.add(event);
            }
        }
        return jobs;
    }

    private static StreamExecutionEnvironment environment(Told job) {
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.getExecutionEnvironment();
        environment.setParallelism(1);
        DataStream<Event> events =
                environment
                        .fromData(TypeInformation.of(Event.class), job.events().toArray(new Event[0]))
                        .map(new Begin())
                        .assignTimestampsAndWatermarks(
                                WatermarkStrategy.<Event>forGenerator(context -> new Marks())
                                        .withTimestampAssigner((event, before) -> event.time));
        if (!job.ends()) {
            events = events.transform("no end", events.getType(), new NoEnd());
        }
        KeyedStream<Event, Long> keyed =
                DataStreamUtils.reinterpretAsKeyedStream(events, event -> event.key, Types.LONG);
        switch (job.kind()) {
            case "tumbling" -> {
                Duration size = Duration.ofMillis(job.first());
                timed(job, keyed, TumblingEventTimeWindows.of(size, Duration.ofMillis(job.offset())));
            }
            case "sliding" -> {
                Duration size = Duration.ofMillis(job.first());
                Duration slide = Duration.ofMillis(job.second());
                timed(job, keyed, SlidingEventTimeWindows.of(size, slide, Duration.ofMillis(job.offset())));
            }
            case "session" -> timed(job, keyed, EventTimeSessionWindows.withGap(Duration.ofMillis(job.first())));
            case "session-by-row" ->
                    timed(job, keyed, EventTimeSessionWindows.<Event>withDynamicGap(event -> event.gap));
            case "global" -> finished(keyed.window(GlobalWindows.create()).trigger(trigger(job)));
            case "count" -> finished(
                    job.first() == job.second()
                            ? keyed.countWindow(job.first())
                            : keyed.countWindow(job.first(), job.second()));
            default -> throw new IllegalArgumentException("no such windows: " + job.kind());
        }
        return environment;
    }

    private static void timed(
            Told job, KeyedStream<Event, Long> keyed, WindowAssigner<? super Event, TimeWindow> assigner) {
        finished(
                keyed.window(assigner).trigger(timeTrigger(job)).allowedLateness(Duration.ofMillis(job.lateness())));
    }

    private static Trigger<Object, ? super TimeWindow> timeTrigger(Told job) {
        if (!job.trigger().equals("time")) {
            return WindowRules.<TimeWindow>trigger(job);
        }
        EventTimeTrigger trigger = EventTimeTrigger.create();
        return job.purges() ? PurgingTrigger.of(trigger) : trigger;
    }

    private static <W extends Window> Trigger<Object, W> trigger(Told job) {
        Trigger<Object, W> trigger =
                switch (job.trigger()) {
                    case "count" -> CountTrigger.of(job.every());
                    case "early" -> new Early<>(job.every());
                    case "every" -> ContinuousEventTimeTrigger.of(Duration.ofMillis(job.every()));
                    default -> throw new IllegalArgumentException("no such trigger: " + job.trigger());
                };
        return job.purges() ? PurgingTrigger.of(trigger) : trigger;
    }

    private static <W extends Window> void finished(WindowedStream<Event, Long, W> windowed) {
        OutputTag<Event> late = new OutputTag<>("late", TypeInformation.of(Event.class));
        SingleOutputStreamOperator<Fired> fired =
                windowed.sideOutputLateData(late).aggregate(new CountAndSum(), new ToFired<W>());
        fired.process(new PrintFired()).sinkTo(new DiscardingSink<>());
        fired.getSideOutput(late).process(new PrintLate()).sinkTo(new DiscardingSink<>());
    }

    /** A row begins. */
    private static final class Begin implements MapFunction<Event, Event> {
        @Override
        public Event map(Event event) {
            cause = 2 * event.step;
            source = Thread.currentThread();
            return event;
        }
    }

    /** The watermarks that rows are followed by. */
    private static final class Marks implements WatermarkGenerator<Event> {
        private long reached = Long.MIN_VALUE;

        @Override
        public void onEvent(Event event, long timestamp, WatermarkOutput output) {
            cause = 2 * event.step + 1;
            if (event.watermark > reached) {
                reached = event.watermark;
                output.emitWatermark(new Watermark(reached));
            }
        }

        @Override
        public void onPeriodicEmit(WatermarkOutput output) {}
    }

    /** Keeps the watermark to itself that says that the input has ended. */
    private static final class NoEnd extends AbstractStreamOperator<Event>
            implements OneInputStreamOperator<Event, Event> {
        @Override
        public void processElement(StreamRecord<Event> element) {
            output.collect(element);
        }

        @Override
        public void processWatermark(org.apache.flink.streaming.api.watermark.Watermark mark) throws Exception {
            if (mark.getTimestamp() != Long.MAX_VALUE) {
                super.processWatermark(mark);
            }
        }
    }

    /**
     * Fires on time, and early each time so many rows have come since it last fired: {@link EventTimeTrigger} and {@link
     * CountTrigger} in one.
     */
    private static final class Early<W extends Window> extends Trigger<Object, W> {
        private final CountTrigger<W> count;

        Early(long rows) {
            count = CountTrigger.of(rows);
        }

        @Override
        public TriggerResult onElement(Object element, long timestamp, W window, TriggerContext context)
                throws Exception {
            boolean fires = count.onElement(element, timestamp, window, context).isFire();
            if (window.maxTimestamp() <= context.getCurrentWatermark()) {
                fires = true;
            } else {
                context.registerEventTimeTimer(window.maxTimestamp());
            }
            return fires(fires, window, context);
        }

        private TriggerResult fires(boolean fires, W window, TriggerContext context) throws Exception {
            if (!fires) {
                return TriggerResult.CONTINUE;
            }
            count.clear(window, context);
            return TriggerResult.FIRE;
        }

        @Override
        public TriggerResult onEventTime(long time, W window, TriggerContext context) throws Exception {
            return fires(time == window.maxTimestamp(), window, context);
        }

        @Override
        public TriggerResult onProcessingTime(long time, W window, TriggerContext context) {
            return TriggerResult.CONTINUE;
        }

        @Override
        public boolean canMerge() {
            return true;
        }

        @Override
        public void onMerge(W window, OnMergeContext context) throws Exception {
            count.onMerge(window, context);
            if (window.maxTimestamp() > context.getCurrentWatermark()) {
                context.registerEventTimeTimer(window.maxTimestamp());
            }
        }

        @Override
        public void clear(W window, TriggerContext context) throws Exception {
            count.clear(window, context);
            context.deleteEventTimeTimer(window.maxTimestamp());
        }
    }

    private static final class CountAndSum implements AggregateFunction<Event, long[], long[]> {
        @Override
        public long[] createAccumulator() {
            return new long[2];
        }

        @Override
        public long[] add(Event event, long[] sums) {
            return new long[] {sums[0] + 1, sums[1] + event.value};
        }

        @Override
        public long[] getResult(long[] sums) {
            return sums;
        }

        @Override
        public long[] merge(long[] left, long[] right) {
            return new long[] {left[0] + right[0], left[1] + right[1]};
        }
    }

    private static final class ToFired<W extends Window> extends ProcessWindowFunction<long[], Fired, Long, W> {
        @Override
        public void process(Long key, Context context, Iterable<long[]> sums, Collector<Fired> out) {
            for (long[] sum : sums) {
                Fired fired = new Fired();
                if (context.window() instanceof TimeWindow window) {
                    fired.start = window.getStart();
                    fired.end = window.getEnd();
                }
                fired.key = key;
                fired.rows = sum[0];
                fired.sum = sum[1];
                out.collect(fired);
            }
        }
    }

    private static void print(String line) {
        if (Thread.currentThread() != source) {
            throw new IllegalStateException("the job is not one chain");
        }
        out.println(line);
    }

    private static final class PrintFired extends ProcessFunction<Fired, Fired> {
        @Override
        public void processElement(Fired row, Context context, Collector<Fired> out) {
            print(
                    "fired %d %d %d %d %d %d %d"
                            .formatted(
                                    cause, context.timestamp(), row.start, row.end, row.key, row.rows, row.sum));
        }
    }

    private static final class PrintLate extends ProcessFunction<Event, Event> {
        @Override
        public void processElement(Event event, Context context, Collector<Event> out) {
            print("late %d %d".formatted(cause, event.step));
        }
    }
}
