#include "server/disk.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <thread>

#include "engine/env/io.h"

namespace klamm::server {
namespace {

// A disk that is driven by hand: commands in, ends out.
class DiskTest : public ::testing::Test {
 protected:
  explicit DiskTest(size_t threads = 4) : pool_([] {}, threads) {
    std::string pattern = (std::filesystem::temp_directory_path() / "klamm-XXXXXX").string();
    root_ = mkdtemp(pattern.data());
  }
  ~DiskTest() override {
    pool_.stop();
    std::filesystem::remove_all(root_);
  }
  Token token() { return tokens_.add(0); }
  template<class C>
  Token run(C c) {
    c.token = token();
    const Token t = c.token;
    disk().execute(c);
    return t;
  }
  Disk& disk() {
    if (!disk_) disk_ = std::make_unique<Disk>(Disk::Options{{root_}, descriptors_}, pool_, events_);
    return *disk_;
  }
  void settle() {
    disk().flush();
    while (pool_.under_way() > 0) {
      pool_.finish();
      disk().flush();
      std::this_thread::yield();
    }
  }
  IoError error_of(Token t, int64_t* value = nullptr) {
    int found = 0;
    IoError error = IoError::none;
    for (const Event& e : events_)
      if (const auto* x = std::get_if<Ended>(&e); x && x->token == t) {
        ++found;
        error = x->error;
        if (value) *value = x->value;
      }
    EXPECT_EQ(found, 1);
    return error;
  }
  std::string bytes_of(Token t) {
    for (const Event& e : events_)
      if (const auto* x = std::get_if<ReadEnded>(&e); x && x->token == t) return std::string(x->bytes.text());
    ADD_FAILURE() << "no read has ended";
    return {};
  }
  WriteFile write(FileId f, int64_t offset, std::string_view text) { return {f, {}, offset, {Slice::copy(text)}}; }

  std::string root_;
  size_t descriptors_ = 512;
  std::vector<Event> events_;
  Pool pool_;
  Slab<int, Token> tokens_;
  Slab<int, FileId> files_;
  std::unique_ptr<Disk> disk_;
};

// Partitions are moved to other disks so.
TEST_F(DiskTest, a_link_to_a_directory_is_listed_as_one) {
  std::filesystem::create_directory(root_ + "/elsewhere");
  std::filesystem::create_directory_symlink(root_ + "/elsewhere", root_ + "/t-0");
  std::filesystem::create_directory_symlink(root_ + "/nowhere", root_ + "/t-1");
  run(ListDir{{}, DirId{0}, ""});
  settle();
  std::map<std::string, bool> directory;
  for (const Event& e : events_)
    if (const auto* x = std::get_if<Listed>(&e))
      for (const DirEntry& entry : x->entries) directory[entry.name] = entry.directory;
  EXPECT_EQ(directory, (std::map<std::string, bool>{{"elsewhere", true}, {"t-0", true}, {"t-1", false}}));
}

TEST_F(DiskTest, commands_on_a_file_may_follow_its_open_at_once) {
  const FileId f = files_.add(0);
  run(OpenFile{f, {}, DirId{0}, "a/b/c", OpenMode::create});
  const Token first = run(write(f, 0, "hello ")), second = run(write(f, 6, "world"));
  const Token cut = run(TruncateFile{f, {}, 8}), third = run(write(f, 8, "..."));
  const Token sync = run(SyncFile{f, {}}), read = run(ReadFile{f, {}, 0, 100}), close = run(CloseFile{f, {}});
  settle();
  for (const Token t : {first, second, cut, third, sync, close}) EXPECT_EQ(error_of(t), IoError::none);
  EXPECT_EQ(bytes_of(read), "hello wo...");
  const Token load = run(LoadFile{{}, DirId{0}, "a/b/c", 100});
  settle();
  EXPECT_EQ(bytes_of(load), "hello wo...");
}

TEST_F(DiskTest, failed_open_fails_what_follows) {
  const FileId f = files_.add(0);
  const Token open = run(OpenFile{f, {}, DirId{0}, "none", OpenMode::read_write});
  const Token w = run(write(f, 0, "x")), s = run(SyncFile{f, {}}), c = run(CloseFile{f, {}});
  settle();
  EXPECT_EQ(error_of(open), IoError::not_found);
  EXPECT_EQ(error_of(w), IoError::not_found);
  EXPECT_EQ(error_of(s), IoError::not_found);
  EXPECT_EQ(error_of(c), IoError::none);
}

TEST_F(DiskTest, many_files_share_few_descriptors_and_follow_renames) {
  descriptors_ = 4;
  std::vector<FileId> files;
  for (int i = 0; i < 40; ++i) {
    files.push_back(files_.add(0));
    run(OpenFile{files.back(), {}, DirId{0}, "old/" + std::to_string(i), OpenMode::create});
  }
  settle();
  const Token renamed = run(Rename{{}, DirId{0}, "old", "new"});
  std::vector<Token> ends;
  for (int round = 0; round < 3; ++round) {
    for (const FileId f : files) {
      ends.push_back(run(write(f, round, "x")));
      ends.push_back(run(SyncFile{f, {}}));
    }
    settle();
  }
  EXPECT_EQ(error_of(renamed), IoError::none);
  for (const Token t : ends) EXPECT_EQ(error_of(t), IoError::none);
  EXPECT_EQ(load_file(root_ + "/new/39", 10).bytes, "xxx");
}

TEST_F(DiskTest, large_writes_keep_their_order) {
  const FileId f = files_.add(0);
  run(OpenFile{f, {}, DirId{0}, "f", OpenMode::create});
  std::vector<Token> ends;
  std::string wanted;
  for (int i = 0; i < 6; ++i) {
    const std::string text(i % 2 ? 10 : 3 << 20, static_cast<char>('a' + i));
    ends.push_back(run(write(f, static_cast<int64_t>(wanted.size()), text)));
    wanted += text;
    disk().flush();
  }
  const Token sync = run(SyncFile{f, {}});
  settle();
  for (const Token t : ends) EXPECT_EQ(error_of(t), IoError::none);
  EXPECT_EQ(error_of(sync), IoError::none);
  EXPECT_EQ(load_file(root_ + "/f", 1 << 30).bytes, wanted);
}

TEST_F(DiskTest, names_directories_and_locks) {
  const Token made = run(MakeDir{{}, DirId{0}, "x/y"});
  settle();
  EXPECT_EQ(error_of(made), IoError::none);
  const FileId f = files_.add(0);
  run(OpenFile{f, {}, DirId{0}, "x/y/f", OpenMode::create});
  run(CloseFile{f, {}});
  settle();
  const Token list = run(ListDir{{}, DirId{0}, "x"}), sync = run(SyncDir{{}, DirId{0}, "x"});
  const Token lock = run(LockDir{{}, DirId{0}});
  settle();
  const auto listed = std::find_if(events_.begin(), events_.end(), [](const Event& e) { return e.index() == 7; });
  ASSERT_NE(listed, events_.end());
  EXPECT_EQ(std::get<Listed>(*listed).token, list);
  ASSERT_EQ(std::get<Listed>(*listed).entries.size(), 1u);
  EXPECT_TRUE(std::get<Listed>(*listed).entries[0].directory);
  EXPECT_EQ(error_of(sync), IoError::none);
  EXPECT_EQ(error_of(lock), IoError::none);
  EXPECT_EQ(lock_directory(root_).error, IoError::locked);
  const Token gone = run(Remove{{}, DirId{0}, "x"}), missing = run(LoadFile{{}, DirId{0}, "x/y/f", 9});
  settle();
  EXPECT_EQ(error_of(gone), IoError::none);
  (void)missing;
  EXPECT_FALSE(std::filesystem::exists(root_ + "/x"));
}

// Java's locks of files are those of fcntl.
TEST_F(DiskTest, a_lock_and_kafkas_exclude_each_other) {
  const auto java_locks = [&] {
    const int file = ::open((root_ + "/.lock").c_str(), O_RDWR | O_CREAT, 0644);
    struct flock whole {};
    whole.l_type = F_WRLCK;
    whole.l_whence = SEEK_SET;
    return fcntl(file, F_SETLK, &whole) == 0;
  };
  const auto kafka_can_lock = [&] {  // in another process: its own locks exclude nobody there
    const pid_t child = fork();
    if (child == 0) {
      _exit(java_locks() ? 0 : 1);
    }
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  };
  EXPECT_TRUE(kafka_can_lock());
  {
    const Opened held = lock_directory(root_);
    EXPECT_EQ(held.error, IoError::none);
    EXPECT_FALSE(kafka_can_lock());
  }
  EXPECT_TRUE(kafka_can_lock());

  int locked[2], done[2];
  ASSERT_EQ(pipe(locked), 0);
  ASSERT_EQ(pipe(done), 0);
  const pid_t kafka = fork();
  if (kafka == 0) {
    char byte = java_locks();
    byte = ::write(locked[1], &byte, 1) == 1 && ::read(done[0], &byte, 1) == 1;
    _exit(0);
  }
  char byte = 0;
  ASSERT_EQ(::read(locked[0], &byte, 1), 1);
  EXPECT_EQ(byte, 1);
  EXPECT_EQ(lock_directory(root_).error, IoError::locked);
  ASSERT_EQ(::write(done[1], &byte, 1), 1);
  EXPECT_EQ(waitpid(kafka, nullptr, 0), kafka);
  for (const int end : {locked[0], locked[1], done[0], done[1]}) ::close(end);
}

TEST_F(DiskTest, space_is_told_once) {
  disk().look_at_space();
  disk().look_at_space();
  ASSERT_EQ(events_.size(), 1u);
  EXPECT_GT(std::get<Space>(events_[0]).free, 0);
  EXPECT_GE(std::get<Space>(events_[0]).total, std::get<Space>(events_[0]).free);
}

// What a failed sync has lost is lost, whatever ends well beside it. A null device takes all writes and no sync.
class OrderedDiskTest : public DiskTest {
 protected:
  OrderedDiskTest() : DiskTest(1) {}
};
TEST_F(OrderedDiskTest, a_write_that_ends_well_does_not_heal_a_failed_sync) {
  std::filesystem::create_symlink("/dev/null", root_ + "/f");
  const FileId f = files_.add(0);
  run(OpenFile{f, {}, DirId{0}, "f", OpenMode::create});
  settle();
  const Token sync = run(SyncFile{f, {}});
  disk().flush();
  const Token large = run(write(f, 0, std::string(3 << 20, 'x')));
  settle();
  const Token small = run(write(f, 0, "x"));
  settle();
  for (const Token t : {sync, large, small}) EXPECT_EQ(error_of(t), IoError::failed);
}

// As an index file is rewritten, again and again.
TEST_F(DiskTest, what_is_being_opened_is_leased_to_nobody_and_opened_once) {
  descriptors_ = 2;
  for (int i = 0; i < 20; ++i) {
    const FileId f = files_.add(0);
    run(OpenFile{f, {}, DirId{0}, "index", OpenMode::create});
    EXPECT_EQ(disk().lease(f), nullptr);
    EXPECT_EQ(disk().held(f), nullptr);
    run(write(f, 0, "entry")), run(TruncateFile{f, {}, 5}), run(CloseFile{f, {}});
    settle();
  }
  const FileId f = files_.add(0);
  run(OpenFile{f, {}, DirId{0}, "index", OpenMode::create});
  settle();
  EXPECT_EQ(disk().held(f), nullptr);
  const Lease mine = disk().lease(f);
  ASSERT_NE(mine, nullptr);
  EXPECT_EQ(disk().held(f), mine);
}

}  // namespace
}  // namespace klamm::server
