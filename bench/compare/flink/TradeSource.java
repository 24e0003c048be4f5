import java.io.IOException;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import org.apache.flink.api.common.serialization.SerializerConfig;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.base.TypeSerializerSingleton;
import org.apache.flink.api.connector.source.Boundedness;
import org.apache.flink.api.connector.source.ReaderOutput;
import org.apache.flink.api.connector.source.Source;
import org.apache.flink.api.connector.source.SourceReader;
import org.apache.flink.api.connector.source.SourceReaderContext;
import org.apache.flink.api.connector.source.SourceSplit;
import org.apache.flink.api.connector.source.SplitEnumerator;
import org.apache.flink.api.connector.source.SplitEnumeratorContext;
import org.apache.flink.core.io.InputStatus;
import org.apache.flink.core.io.SimpleVersionedSerializer;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;

/**
 * Reads a file of 32-byte little-endian trades through a mapping: a source with one split, the file.
 *
 * <p>It gives the same object for every trade, which object reuse allows, and many trades each time it is asked.
 */
public final class TradeSource implements Source<TradeSource.Sale, TradeSource.Whole, Void> {
    private static final int TRADE_BYTES = 32;
    private static final int SIZE_AT = 16;
    private static final int SYMBOL_AT = 20;
    /** Trades that are given each time the task asks: it looks for other work in between. */
    private static final int TRADES_AT_ONCE = 1024;
    /** Bytes of one mapping: an int must be able to address them. */
    private static final long MAPPED_BYTES = 1L << 30;

    /** When the first trade of the last job was read, by {@link System#nanoTime}. */
    static volatile long firstReadAt;

    private final String path;
    private final long trades;

    TradeSource(String path, long trades) {
        this.path = path;
        this.trades = trades;
    }

    /** What of a trade goes into the result. */
    public static final class Sale {
        public long timeNs;
        public int symbol;
        public int size;

        public Sale() {}
    }

    /** The file, which is not split. */
    public static final class Whole implements SourceSplit {
        @Override
        public String splitId() {
            return "file";
        }
    }

    @Override
    public Boundedness getBoundedness() {
        // As a stream: watermarks come while the file is read, not only behind it.
        return Boundedness.CONTINUOUS_UNBOUNDED;
    }

    @Override
    public SourceReader<Sale, Whole> createReader(SourceReaderContext context) {
        return new Reader(path, trades);
    }

    @Override
    public SplitEnumerator<Whole, Void> createEnumerator(SplitEnumeratorContext<Whole> context) {
        return new Enumerator(context);
    }

    @Override
    public SplitEnumerator<Whole, Void> restoreEnumerator(SplitEnumeratorContext<Whole> context, Void checkpoint) {
        return new Enumerator(context);
    }

    @Override
    public SimpleVersionedSerializer<Whole> getSplitSerializer() {
        return new Nothing<>(new Whole());
    }

    @Override
    public SimpleVersionedSerializer<Void> getEnumeratorCheckpointSerializer() {
        return new Nothing<>(null);
    }

    private static final class Reader implements SourceReader<Sale, Whole> {
        private final String path;
        private final long trades;
        private final Sale sale = new Sale();
        private final CompletableFuture<Void> available = new CompletableFuture<>();
        private MappedByteBuffer mapped;
        private long next;

        Reader(String path, long trades) {
            this.path = path;
            this.trades = trades;
        }

        @Override
        public void start() {}

        @Override
        public InputStatus pollNext(ReaderOutput<Sale> output) throws IOException {
            if (!available.isDone()) {
                return InputStatus.NOTHING_AVAILABLE;
            }
            if (next == 0) {
                firstReadAt = System.nanoTime();
            }
            for (int i = 0; i < TRADES_AT_ONCE; i++, next++) {
                if (next == trades) {
                    return InputStatus.END_OF_INPUT;
                }
                long byteAt = next * TRADE_BYTES;
                if (byteAt % MAPPED_BYTES == 0) {
                    map(byteAt);
                }
                int at = (int) (byteAt % MAPPED_BYTES);
                sale.timeNs = mapped.getLong(at);
                sale.size = mapped.getInt(at + SIZE_AT);
                sale.symbol = mapped.getInt(at + SYMBOL_AT);
                output.collect(sale, Math.floorDiv(sale.timeNs, 1_000_000L));
            }
            return InputStatus.MORE_AVAILABLE;
        }

        private void map(long byteAt) throws IOException {
            try (FileChannel file = FileChannel.open(Path.of(path), StandardOpenOption.READ)) {
                long bytes = Math.min(MAPPED_BYTES, file.size() - byteAt);
                mapped = file.map(FileChannel.MapMode.READ_ONLY, byteAt, bytes);
                mapped.order(ByteOrder.LITTLE_ENDIAN);
            }
        }

        @Override
        public List<Whole> snapshotState(long checkpoint) {
            // Nobody restarts from a checkpoint here, so the position is left out.
            return List.of(new Whole());
        }

        @Override
        public CompletableFuture<Void> isAvailable() {
            return available;
        }

        @Override
        public void addSplits(List<Whole> splits) {
            available.complete(null);
        }

        @Override
        public void notifyNoMoreSplits() {}

        @Override
        public void close() {}
    }

    private static final class Enumerator implements SplitEnumerator<Whole, Void> {
        private final SplitEnumeratorContext<Whole> context;

        Enumerator(SplitEnumeratorContext<Whole> context) {
            this.context = context;
        }

        @Override
        public void start() {}

        @Override
        public void handleSplitRequest(int subtask, String host) {}

        @Override
        public void addSplitsBack(List<Whole> splits, int subtask) {
            throw new UnsupportedOperationException("a job that fails is not restarted");
        }

        @Override
        public void addReader(int subtask) {
            context.assignSplit(new Whole(), subtask);
            context.signalNoMoreSplits(subtask);
        }

        @Override
        public Void snapshotState(long checkpoint) {
            return null;
        }

        @Override
        public void close() {}
    }

    /** Of what has no content. */
    private static final class Nothing<T> implements SimpleVersionedSerializer<T> {
        private final T value;

        Nothing(T value) {
            this.value = value;
        }

        @Override
        public int getVersion() {
            return 1;
        }

        @Override
        public byte[] serialize(T value) {
            return new byte[0];
        }

        @Override
        public T deserialize(int version, byte[] bytes) {
            return value;
        }
    }

    /** Sales in 16 bytes. */
    public static final class SaleType extends TypeInformation<Sale> {
        @Override
        public boolean isBasicType() {
            return false;
        }

        @Override
        public boolean isTupleType() {
            return false;
        }

        @Override
        public int getArity() {
            return 1;
        }

        @Override
        public int getTotalFields() {
            return 1;
        }

        @Override
        public Class<Sale> getTypeClass() {
            return Sale.class;
        }

        @Override
        public boolean isKeyType() {
            return false;
        }

        @Override
        public TypeSerializer<Sale> createSerializer(SerializerConfig config) {
            return SaleSerializer.INSTANCE;
        }

        @Override
        public String toString() {
            return "Sale";
        }

        @Override
        public boolean equals(Object other) {
            return other instanceof SaleType;
        }

        @Override
        public int hashCode() {
            return Objects.hash(SaleType.class);
        }

        @Override
        public boolean canEqual(Object other) {
            return other instanceof SaleType;
        }
    }

    /** See {@link SaleType}. */
    public static final class SaleSerializer extends TypeSerializerSingleton<Sale> {
        static final SaleSerializer INSTANCE = new SaleSerializer();

        @Override
        public boolean isImmutableType() {
            return false;
        }

        @Override
        public Sale createInstance() {
            return new Sale();
        }

        @Override
        public Sale copy(Sale from) {
            return copy(from, new Sale());
        }

        @Override
        public Sale copy(Sale from, Sale to) {
            to.timeNs = from.timeNs;
            to.symbol = from.symbol;
            to.size = from.size;
            return to;
        }

        @Override
        public int getLength() {
            return 16;
        }

        @Override
        public void serialize(Sale sale, DataOutputView out) throws IOException {
            out.writeLong(sale.timeNs);
            out.writeInt(sale.symbol);
            out.writeInt(sale.size);
        }

        @Override
        public Sale deserialize(DataInputView in) throws IOException {
            return deserialize(new Sale(), in);
        }

        @Override
        public Sale deserialize(Sale reuse, DataInputView in) throws IOException {
            reuse.timeNs = in.readLong();
            reuse.symbol = in.readInt();
            reuse.size = in.readInt();
            return reuse;
        }

        @Override
        public void copy(DataInputView in, DataOutputView out) throws IOException {
            out.write(in, getLength());
        }

        @Override
        public TypeSerializerSnapshot<Sale> snapshotConfiguration() {
            return new Snapshot();
        }

        /** As Flink demands one. */
        public static final class Snapshot extends SimpleTypeSerializerSnapshot<Sale> {
            public Snapshot() {
                super(() -> INSTANCE);
            }
        }
    }
}
