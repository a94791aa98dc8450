# Makes the ROS 2 wheels of PyPI usable as a CMake prefix. Included right after project(), and only
# where CMAKE_PROJECT_INCLUDE names this file: pip always does, colcon on a ROS installation never.

find_package(Python3 REQUIRED COMPONENTS Interpreter)
execute_process(
  COMMAND "${Python3_EXECUTABLE}" -c
    "import ament_package, pathlib; print(pathlib.Path(ament_package.__file__).resolve().parents[4])"
  OUTPUT_VARIABLE genrl_ros_wheels_prefix
  OUTPUT_STRIP_TRAILING_WHITESPACE
  COMMAND_ERROR_IS_FATAL ANY
)
list(PREPEND CMAKE_PREFIX_PATH "${genrl_ros_wheels_prefix}")
set(ENV{AMENT_PREFIX_PATH} "${genrl_ros_wheels_prefix}:$ENV{AMENT_PREFIX_PATH}")

# The wheels' exported targets name include folders of the machine that they were built on, which
# CMake takes for an error. Drop every plain path that does not exist.
function(genrl_drop_missing_include_dirs)
  get_directory_property(targets IMPORTED_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(folders ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(NOT folders)
      continue()
    endif()
    set(kept "")
    foreach(folder IN LISTS folders)
      if(folder MATCHES "^\\$<" OR EXISTS "${folder}")
        list(APPEND kept "${folder}")
      endif()
    endforeach()
    set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${kept}")
  endforeach()
endfunction()
cmake_language(DEFER CALL genrl_drop_missing_include_dirs)
