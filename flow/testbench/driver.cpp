// Runs a chip in Verilator, one line of text per command, so that Python stays out of the clock loop.
//
//   pace SEED IDLE STALL      pause inputs / stall outputs in IDLE / STALL of 256 cycles; 0 0 is full speed
//   generate BETA RNG LIMIT TOP_K N TOKEN*N  -> "step TOKEN CYCLES COUNTER POSITION LAST" each, then "done CYCLES"
//   frame N VALUE*N           -> "out VALUE LAST" each, then "done CYCLES"
//   identity                  -> "identity HEX"
//   write ADDRESS VALUE       -> "done 1", a register of the adapter port (built with ADAPTERS)
//   read ADDRESS              -> "value N"
//   during GAP N (ADDRESS VALUE)*N -> "done 0"; writes for the following commands that run the chip, one in GAP cycles
//   waiting                   -> "value N", how many of them are still to come
//   reset                     -> "done CYCLES"
//   activity 0|1              -> "done 0"; follow every "step" with "active N", then N times "MASK COUNT" (built with ACTIVE)
//
// CYCLES of a step are the clock cycles between its transfer and the one before (or the first input).
// Counts of `active` start anew with every transfer, in or out: they are of the step that made the token.
// A protocol violation or a chip that makes no progress prints "error TEXT" and ends the process.

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "Vchip.h"
#include "verilated.h"
#ifdef TRACE
#include "verilated_vcd_c.h"
#endif

// Verilator writes the two underscores of a port `i__valid` as ___05F.
#define PORT(stream, member) stream##___05F##member

namespace {

[[noreturn]] void fail(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    std::fputs("error ", stdout);
    std::vfprintf(stdout, format, arguments);
    std::fputc('\n', stdout);
    std::fflush(stdout);
    va_end(arguments);
    std::_Exit(3);
}

struct Pace {
    uint32_t state = 1;
    uint32_t idle = 0;
    uint32_t stall = 0;

    bool pause(uint32_t probability) {
        if (probability == 0) return false;
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        return (state >> 8 & 255) < probability;
    }
};

struct Beat {
    uint32_t data;
    bool last;
    uint64_t cycles;
};

class Bench {
  public:
    Bench(VerilatedContext* context, uint64_t watchdog, const char* trace)
        : context_(context), top_(new Vchip(context, "chip")), watchdog_(watchdog) {
#ifdef TRACE
        if (trace) {
            context->traceEverOn(true);
            trace_.reset(new VerilatedVcdC);
            top_->trace(trace_.get(), 99);
            trace_->open(trace);
        }
#else
        if (trace) fail("built without tracing");
#endif
        reset();
    }

    ~Bench() {
#ifdef TRACE
        if (trace_) trace_->close();
#endif
        top_->final();
    }

    Vchip& ports() { return *top_; }
    uint64_t now() const { return now_; }

    // Evaluates the low half of the cycle: outputs then show what the next edge will see.
    void settle() {
        top_->clk = 0;
        top_->eval();
        dump();
    }

    void edge() {
#ifdef ACTIVE
        if (counting_) ++counts_[top_->active];
#endif
        top_->clk = 1;
        top_->eval();
        ++now_;
        dump();
    }

    void cycle() {
        settle();
        edge();
    }

#ifdef ADAPTERS
    // Writes of the adapter port that happen while sequences run, one in `gap` cycles.
    void later(uint64_t gap, std::deque<std::pair<uint32_t, uint32_t>> writes) {
        gap_ = gap;
        writes_ = std::move(writes);
    }

    size_t waiting() const { return writes_.size(); }

    void offer_write() {
        top_->adapter_write = !writes_.empty() && now_ % gap_ == 0;
        if (!top_->adapter_write) return;
        top_->adapter_addr = writes_.front().first;
        top_->adapter_write_data = writes_.front().second;
        writes_.pop_front();
    }

    void end_write() { top_->adapter_write = 0; }
#else
    void offer_write() {}
    void end_write() {}
#endif

    void count(bool wanted) {
#ifndef ACTIVE
        if (wanted) fail("built without activity");
#endif
        counting_ = wanted;
    }

    bool counting() const { return counting_; }

    // Cycles since the last transfer by the value of `active`.
    const std::map<uint32_t, uint64_t>& counts() const { return counts_; }

    void reset() {
        top_->PORT(i, valid) = 0;
        top_->PORT(o, ready) = 0;
#ifndef FRAME
        top_->start = 0;
#endif
#ifdef ADAPTERS
        top_->adapter_write = 0;
        top_->adapter_addr = 0;
        top_->adapter_write_data = 0;
#endif
        top_->rst = 1;
        for (int i = 0; i < 4; ++i) cycle();
        top_->rst = 0;
        cycle();
    }

    // Sends `beats` and hands each output beat to `take` until one is the last of its sequence.
    template <typename Take> void exchange(const std::vector<uint32_t>& beats, Pace& pace, Take take) {
        size_t sent = 0;
        bool offering = false, waiting = false, finished = false;
        uint32_t offered = 0;
        uint64_t progress = now_, previous = now_;
        counts_.clear();
        top_->PORT(i, valid) = 0;
        while (!finished || sent < beats.size()) {
            if (!offering && sent < beats.size() && !pace.pause(pace.idle)) {
                offering = true;
                top_->PORT(i, payload) = beats[sent];
                top_->PORT(i, valid) = 1;
            }
            const bool ready = !pace.pause(pace.stall);
            top_->PORT(o, ready) = ready;
            offer_write();
            settle();
            const bool valid = top_->PORT(o, valid);
            const uint32_t payload = top_->PORT(o, payload);
            if (waiting && !valid) fail("o.valid fell before 0x%05x was taken", offered);
            if (waiting && payload != offered)
                fail("o.payload changed from 0x%05x to 0x%05x before transfer", offered, payload);
            waiting = valid && !ready;
            offered = payload;
            if (offering && top_->PORT(i, ready)) {
                if (sent == 0) previous = now_;
                ++sent;
                offering = false;
                progress = now_;
                counts_.clear();
            }
            if (valid && ready) {
                if (finished) fail("output 0x%05x after the last of its sequence", payload);
                finished = payload >> 16 & 1;
                take(Beat{payload & 0xffff, finished, now_ - previous});
                previous = progress = now_;
                counts_.clear();
            }
            edge();
            if (!offering) top_->PORT(i, valid) = 0;
            if (now_ - progress > watchdog_)
                fail("no transfer for %llu cycles (%zu of %zu inputs accepted, busy %d)",
                     static_cast<unsigned long long>(watchdog_), sent, beats.size(), int(top_->busy));
        }
        end_write();
        quiesce();
    }

    // Waits until the chip is idle; nothing may follow the last output.
    void quiesce() {
        top_->PORT(o, ready) = 0;
        const uint64_t begin = now_;
        do {
            settle();
            if (top_->PORT(o, valid))
                fail("output 0x%05x after the last of its sequence", unsigned(top_->PORT(o, payload)));
            edge();
            if (now_ - begin > watchdog_) fail("busy stays high after the last output");
        } while (top_->busy);
    }

  private:
    void dump() {
#ifdef TRACE
        if (trace_) {
            context_->timeInc(5);
            trace_->dump(context_->time());
        }
#endif
    }

    VerilatedContext* context_;
    std::unique_ptr<Vchip> top_;
    uint64_t watchdog_;
    uint64_t now_ = 0;
    bool counting_ = false;
    std::map<uint32_t, uint64_t> counts_;
#ifdef ADAPTERS
    uint64_t gap_ = 1;
    std::deque<std::pair<uint32_t, uint32_t>> writes_;
#endif
#ifdef TRACE
    std::unique_ptr<VerilatedVcdC> trace_;
#endif
};

std::vector<uint32_t> read_beats(std::istream& line) {
    size_t count = 0;
    if (!(line >> count)) fail("malformed command: no element count");
    std::vector<uint32_t> beats;
    for (size_t i = 0; i < count; ++i) {
        long long value;
        if (!(line >> value)) fail("malformed command: %zu of %zu elements", i, count);
        beats.push_back((uint32_t(value) & 0xffff) | uint32_t(i + 1 == count) << 16);
    }
    return beats;
}

void done(const Bench& bench, uint64_t begin) {
    std::printf("done %llu\n", static_cast<unsigned long long>(bench.now() - begin));
}

#ifndef FRAME
// Chips without the hardware for it have no such port; the first form is chosen where it exists.
template <typename Chip> auto set_top_k(Chip& chip, uint32_t top_k, int) -> decltype(void(chip.top_k)) {
    chip.top_k = top_k;
}

template <typename Chip> void set_top_k(Chip&, uint32_t top_k, long) {
    if (top_k != 0) fail("the chip has no register top_k for %u; raise plan.top_k", unsigned(top_k));
}

void generate(Bench& bench, Pace& pace, std::istream& line) {
    Vchip& chip = bench.ports();
    uint32_t beta, rng, limit, top_k;
    if (!(line >> beta >> rng >> limit >> top_k)) fail("malformed command: generate");
    const std::vector<uint32_t> beats = read_beats(line);
    chip.beta = beta;
    chip.seed = rng;
    chip.limit = limit;
    set_top_k(chip, top_k, 0);
    const uint64_t begin = bench.now();
    if (beats.empty()) {
        chip.start = 1;
        bench.cycle();
        chip.start = 0;
    }
    bench.exchange(beats, pace, [&](const Beat& beat) {
        std::printf("step %u %llu %u %u %d\n", beat.data, static_cast<unsigned long long>(beat.cycles),
                    unsigned(chip.cycles), unsigned(chip.position), int(beat.last));
        if (bench.counting()) {
            std::printf("active %zu", bench.counts().size());
            for (const auto& [mask, count] : bench.counts())
                std::printf(" %u %llu", mask, static_cast<unsigned long long>(count));
            std::putchar('\n');
        }
        std::fflush(stdout);
    });
    done(bench, begin);
}
#else
void frame(Bench& bench, Pace& pace, std::istream& line) {
    const std::vector<uint32_t> beats = read_beats(line);
    const uint64_t begin = bench.now();
    bench.exchange(beats, pace, [&](const Beat& beat) {
        std::printf("out %d %d\n", int(int16_t(beat.data)), int(beat.last));
    });
    done(bench, begin);
}
#endif

void identity(Bench& bench) {
    std::fputs("identity ", stdout);
    for (int i = 0; i < 32; ++i) {
        bench.ports().id_addr = i;
        bench.cycle();
        bench.cycle();
        bench.settle();
        std::printf("%02x", unsigned(bench.ports().id_data));
    }
    std::fputc('\n', stdout);
}

#ifdef ADAPTERS
void write_register(Bench& bench, std::istream& line) {
    unsigned address;
    unsigned long long value;
    if (!(line >> address >> value)) fail("malformed command: write");
    const uint64_t begin = bench.now();
    bench.ports().adapter_addr = address;
    bench.ports().adapter_write_data = uint32_t(value);
    bench.ports().adapter_write = 1;
    bench.cycle();
    bench.ports().adapter_write = 0;
    done(bench, begin);
}

void read_register(Bench& bench, std::istream& line) {
    unsigned address;
    if (!(line >> address)) fail("malformed command: read");
    bench.ports().adapter_addr = address;
    bench.settle();
    std::printf("value %u\n", unsigned(bench.ports().adapter_read_data));
    bench.edge();
}

void during(Bench& bench, std::istream& line) {
    unsigned long long gap;
    size_t count;
    if (!(line >> gap >> count) || gap == 0) fail("malformed command: during");
    std::deque<std::pair<uint32_t, uint32_t>> writes;
    for (size_t i = 0; i < count; ++i) {
        unsigned address;
        unsigned long long value;
        if (!(line >> address >> value)) fail("malformed command: %zu of %zu writes", i, count);
        writes.emplace_back(address, uint32_t(value));
    }
    bench.later(gap, std::move(writes));
    std::puts("done 0");
}
#endif

}  // namespace

// Arguments: WATCHDOG_CYCLES RESET_SEED [TRACE.vcd]
int main(int argc, char** argv) {
    if (argc < 3) fail("usage: chip WATCHDOG_CYCLES RESET_SEED [TRACE.vcd]");
    VerilatedContext context;
    // Registers and memories without an initial value start random: a chip must not rely on them.
    context.randReset(2);
    context.randSeed(std::atoi(argv[2]));
    Bench bench(&context, std::strtoull(argv[1], nullptr, 10), argc > 3 ? argv[3] : nullptr);
    Pace pace;
    std::string text;
    while (std::getline(std::cin, text)) {
        std::istringstream line(text);
        std::string command;
        line >> command;
        if (command == "pace") {
            if (!(line >> pace.state >> pace.idle >> pace.stall)) fail("malformed command: pace");
            if (pace.state == 0) pace.state = 1;
        } else if (command == "identity") {
            identity(bench);
#ifdef ADAPTERS
        } else if (command == "write") {
            write_register(bench, line);
        } else if (command == "read") {
            read_register(bench, line);
        } else if (command == "during") {
            during(bench, line);
        } else if (command == "waiting") {
            std::printf("value %zu\n", bench.waiting());
#endif
        } else if (command == "activity") {
            int wanted;
            if (!(line >> wanted)) fail("malformed command: activity");
            bench.count(wanted);
            std::puts("done 0");
        } else if (command == "reset") {
            const uint64_t begin = bench.now();
            bench.reset();
            done(bench, begin);
#ifndef FRAME
        } else if (command == "generate") {
            generate(bench, pace, line);
#else
        } else if (command == "frame") {
            frame(bench, pace, line);
#endif
        } else {
            fail("unknown command '%s'", command.c_str());
        }
        std::fflush(stdout);
    }
    return 0;
}
