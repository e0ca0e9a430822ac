# What `cmake --install` puts where: both libraries beside each other, the headers, and packages for find_package(LiveKit) and
# find_package(Tramline).

set(package_folder "${CMAKE_INSTALL_LIBDIR}/cmake")

install(TARGETS livekit EXPORT LiveKitTargets LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(DIRECTORY include/livekit DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.h")
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/include/livekit/build.h" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/livekit")
install(EXPORT LiveKitTargets NAMESPACE LiveKit:: DESTINATION "${package_folder}/LiveKit")

install(FILES "${TRAMLINE_LIBRARY}" DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(FILES "${CMAKE_LIBRARY_OUTPUT_DIRECTORY}/libtramline.so" DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(FILES "${TRAMLINE_HEADERS}/tramline.h" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")

foreach(package LiveKit Tramline)
  configure_package_config_file(cmake/${package}Config.cmake.in "${CMAKE_CURRENT_BINARY_DIR}/${package}Config.cmake"
    INSTALL_DESTINATION "${package_folder}/${package}" PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
  write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/${package}ConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
  install(FILES "${CMAKE_CURRENT_BINARY_DIR}/${package}Config.cmake" "${CMAKE_CURRENT_BINARY_DIR}/${package}ConfigVersion.cmake"
          DESTINATION "${package_folder}/${package}")
endforeach()
