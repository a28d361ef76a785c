// Owns byte streams in memory for tests: two ends, bounded like a socket's buffers, and the
// listener and the backend that hand them out. Nothing runs inside a caller: all goes through the
// executor.
#pragma once

#include "agent/ports/stream.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace agent::test {

// A coroutine waits here until somebody says that something changed.
class Changes {
public:
    explicit Changes(const boost::asio::any_io_executor& executor)
        : timer_{executor, boost::asio::steady_timer::time_point::max()} {}
    boost::asio::awaitable<void> wait() {
        co_await timer_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    }
    void notify() { timer_.cancel(); }

private:
    boost::asio::steady_timer timer_;
};

// One direction.
struct MemoryPipe {
    MemoryPipe(const boost::asio::any_io_executor& executor, std::size_t size)
        : changes{executor}, capacity{size} {}
    Changes changes;
    std::size_t capacity;
    std::string bytes;
    std::size_t passed = 0; // bytes ever written into it
    bool ended = false;
    bool reader_gone = false;
    bool writer_gone = false;
};

class MemoryStream : public Incoming {
public:
    MemoryStream(const boost::asio::any_io_executor& executor,
                 std::shared_ptr<MemoryPipe> in,
                 std::shared_ptr<MemoryPipe> out,
                 std::string network = "192.0.2.1")
        : network_{std::move(network)}, in_{std::move(in)}, out_{std::move(out)},
          deadline_{executor} {}
    MemoryStream(const MemoryStream&) = delete;
    MemoryStream& operator=(const MemoryStream&) = delete;
    ~MemoryStream() override { MemoryStream::close(); }

    Result<std::optional<std::size_t>> try_read(std::span<char> buffer) override {
        if (in_->reader_gone)
            return transient("reading ended: the connection was closed.");
        if (in_->bytes.empty())
            return in_->ended ? std::optional<std::size_t>{0} : std::nullopt;
        const auto count = std::min(buffer.size(), in_->bytes.size());
        in_->bytes.copy(buffer.data(), count);
        in_->bytes.erase(0, count);
        in_->changes.notify();
        return std::optional{count};
    }
    Result<std::size_t> try_write(std::string_view bytes) override {
        if (out_->reader_gone || out_->writer_gone)
            return transient("writing ended: the connection was closed.");
        const auto part = bytes.substr(0, out_->capacity - out_->bytes.size());
        out_->bytes += part;
        out_->passed += part.size();
        out_->changes.notify();
        return part.size();
    }
    boost::asio::awaitable<Result<void>> readable() override {
        const auto in = in_;
        const auto interruptions = interruptions_;
        const auto before = *interruptions;
        while (in->bytes.empty() && !in->ended && !in->reader_gone && *interruptions == before)
            co_await in->changes.wait();
        if (*interruptions != before)
            co_return transient("reading ended: it was interrupted.");
        co_return Result<void>{};
    }
    boost::asio::awaitable<Result<void>> writable() override {
        const auto out = out_;
        const auto interruptions = interruptions_;
        const auto before = *interruptions;
        while (out->bytes.size() == out->capacity && !out->reader_gone && !out->writer_gone &&
               *interruptions == before)
            co_await out->changes.wait();
        if (*interruptions != before)
            co_return transient("writing ended: it was interrupted.");
        co_return Result<void>{};
    }
    void interrupt() override {
        ++*interruptions_;
        in_->changes.notify();
        out_->changes.notify();
    }
    boost::asio::awaitable<Result<void>> finish_writing() override {
        out_->ended = true;
        out_->changes.notify();
        co_return Result<void>{};
    }
    void close() override {
        deadline_.cancel();
        out_->ended = true;
        cut(*in_, *out_);
    }
    void expires_after(std::optional<std::chrono::milliseconds> limit) override {
        deadline_.cancel();
        if (!limit)
            return;
        deadline_.expires_after(*limit);
        deadline_.async_wait([in = in_, out = out_](const boost::system::error_code& code) {
            if (!code)
                cut(*in, *out);
        });
    }

    [[nodiscard]] const std::string& peer_network() const override { return network_; }
    boost::asio::awaitable<Result<std::optional<unsigned char>>> peek() override {
        while (in_->bytes.empty() && !in_->ended && !in_->reader_gone)
            co_await in_->changes.wait();
        if (in_->reader_gone)
            co_return transient("waiting for the first byte ended: the connection was closed.");
        if (in_->bytes.empty())
            co_return std::optional<unsigned char>{};
        co_return std::optional{static_cast<unsigned char>(in_->bytes.front())};
    }
    // TLS in memory is its first byte.
    boost::asio::awaitable<Result<void>> start_tls() override {
        in_->bytes.erase(0, 1);
        co_return Result<void>{};
    }

    [[nodiscard]] bool closed() const { return in_->reader_gone; }
    [[nodiscard]] std::size_t written() const { return out_->passed; }

private:
    static void cut(MemoryPipe& in, MemoryPipe& out) {
        in.reader_gone = true;
        out.writer_gone = true;
        in.changes.notify();
        out.changes.notify();
    }

    std::string network_;
    std::shared_ptr<MemoryPipe> in_;
    std::shared_ptr<MemoryPipe> out_;
    std::shared_ptr<unsigned> interruptions_ = std::make_shared<unsigned>(0);
    boost::asio::steady_timer deadline_;
};

struct MemoryConnection {
    std::unique_ptr<MemoryStream> near;
    std::unique_ptr<MemoryStream> far;
};

inline MemoryConnection memory_connection(const boost::asio::any_io_executor& executor,
                                          std::size_t capacity = 65'536,
                                          const std::string& network = "192.0.2.1") {
    auto there = std::make_shared<MemoryPipe>(executor, capacity);
    auto back = std::make_shared<MemoryPipe>(executor, capacity);
    return {std::make_unique<MemoryStream>(executor, back, there, network),
            std::make_unique<MemoryStream>(executor, there, back, network)};
}

class FakeListener final : public Listener {
public:
    explicit FakeListener(const boost::asio::any_io_executor& executor)
        : executor_{executor}, changes_{executor} {}

    // The client's end of a new connection.
    std::unique_ptr<MemoryStream> connect(const std::string& network = "192.0.2.1") {
        auto [near, far] = memory_connection(executor_, 65'536, network);
        waiting_.push_back(std::move(far));
        changes_.notify();
        return std::move(near);
    }
    boost::asio::awaitable<Result<std::unique_ptr<Incoming>>> accept() override {
        while (waiting_.empty() && !closed)
            co_await changes_.wait();
        if (closed)
            co_return transient("accepting connections has ended.");
        std::unique_ptr<Incoming> accepted = std::move(waiting_.front());
        waiting_.pop_front();
        co_return std::move(accepted);
    }
    void close() override {
        closed = true;
        changes_.notify();
    }

    bool closed = false;

private:
    boost::asio::any_io_executor executor_;
    Changes changes_;
    std::deque<std::unique_ptr<Incoming>> waiting_;
};

// The backend's end of each connection is kept in `accepted`.
class FakeBackend final : public Backend {
public:
    explicit FakeBackend(const boost::asio::any_io_executor& executor) : executor_{executor} {}

    boost::asio::awaitable<Result<BackendConnection>> connect(std::chrono::milliseconds) override {
        if (foreign)
            co_return permanent("The listener belongs to another user.");
        if (process == 0)
            co_return transient("Nobody listens.");
        auto [near, far] = memory_connection(executor_);
        accepted.push_back(std::move(far));
        BackendConnection connection;
        connection.stream = std::move(near);
        connection.process = process;
        co_return std::move(connection);
    }

    pid_t process = 0; // 0: nobody listens
    bool foreign = false;
    std::deque<std::unique_ptr<MemoryStream>> accepted;

private:
    boost::asio::any_io_executor executor_;
};

} // namespace agent::test
